"""The ways to change a part of an object: merge patch, JSON patch, and Kubernetes' strategic merge.

Strategic merge knows the lists below by their merge keys; every other list is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from partita_plugins.testing.apiserver.errors import ApiError, Json, bad_request, unsupported_media

MERGE_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "conditions": "type",
        "containers": "name",
        "containerStatuses": "",
        "env": "name",
        "ephemeralContainers": "name",
        "imagePullSecrets": "name",
        "initContainers": "name",
        "ownerReferences": "uid",
        "ports": "containerPort",
        "reservedFor": "uid",
        "resourceClaims": "name",
        "resourceClaimStatuses": "name",
        "taints": "",
        "tolerations": "",
        "volumeMounts": "mountPath",
        "volumes": "name",
    }
)
"""Field name to the key that identifies a list entry; empty where Kubernetes replaces the list."""

_SET_LISTS = frozenset({"finalizers"})
"""Lists of plain values that a strategic merge unites."""

_OPERATIONS_MAX = 1000

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)


def patched(target: Json, patch: object, media: str) -> Json:
    """An object after a patch of this media type. Server-side apply is taken as a merge: nothing has an owner."""
    if media not in PATCH_TYPES:
        raise unsupported_media(media, PATCH_TYPES)
    if media == JSON_PATCH:
        changed: object = json_patch(target, patch)
    else:
        changed = merge(target, patch) if media == MERGE_PATCH else strategic(target, patch)
    if not isinstance(changed, dict) or not isinstance(changed.get("metadata"), dict):
        raise bad_request("the patch leaves no object with metadata")
    return changed


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target: Any, patch: Any) -> Any:
    """Merge patch, with the lists of `MERGE_KEYS` merged entry by entry, and the `$patch` directives."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.split("/", 1)[1]
            result[name] = [entry for entry in result.get(name) or [] if entry not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _strategic_list(key, result.get(key) or [], value)
        else:
            result[key] = strategic(result.get(key), value)
    return result


def _strategic_list(field: str, target: list[Any], patch: list[Any]) -> list[Any]:
    if field in _SET_LISTS:
        return target + [entry for entry in patch if entry not in target]
    merge_key = MERGE_KEYS.get(field, "")
    if not merge_key or not all(isinstance(entry, dict) for entry in patch):
        return patch
    if any(entry.get("$patch") == "replace" for entry in patch):
        return [entry for entry in patch if "$patch" not in entry]
    merged = {entry.get(merge_key): entry for entry in target}
    for entry in patch:
        name = entry.get(merge_key)
        if entry.get("$patch") == "delete":
            merged.pop(name, None)
        else:
            merged[name] = strategic(merged.get(name), entry)
    return list(merged.values())


def json_patch(target: Json, operations: Any) -> Json:
    """RFC 6902 over a private copy; a failed `test` or a path that is not there refuses the whole patch."""
    if not isinstance(operations, list) or len(operations) > _OPERATIONS_MAX:
        raise bad_request(f"a JSON patch is a list of at most {_OPERATIONS_MAX} operations")
    root: Json = {"": target}
    for operation in operations:
        try:
            _operate(root, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            reason = f"the server rejected our request due to an error in our request: {operation}: {error!r}"
            raise ApiError(422, "Invalid", reason) from error
    changed: Json = root[""]
    return changed


def _operate(root: Json, operation: Json) -> None:
    verb, path = operation["op"], operation["path"]
    match verb:
        case "add":
            _insert(root, path, operation["value"])
        case "remove":
            _take(root, path)
        case "replace":
            _take(root, path)
            _insert(root, path, operation["value"])
        case "move":
            _insert(root, path, _take(root, operation["from"]))
        case "copy":
            _insert(root, path, _look(root, operation["from"]))
        case "test":
            if _look(root, path) != operation["value"]:
                raise ValueError(f"testing value {path} failed")
        case _:
            raise ValueError(f"unknown operation {verb!r}")


def _steps(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise ValueError(f"a JSON pointer begins with a slash: {path!r}")
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]


def _parent(root: Json, path: str) -> tuple[Any, Any]:
    *parents, last = _steps(path)
    found: Any = root
    for step in parents:
        found = found[int(step)] if isinstance(found, list) else found[step]
    if isinstance(found, list):
        return found, len(found) if last == "-" else int(last)
    return found, last


def _look(root: Json, path: str) -> Any:
    parent, last = _parent(root, path)
    return parent[last]


def _take(root: Json, path: str) -> Any:
    parent, last = _parent(root, path)
    return parent.pop(last)


def _insert(root: Json, path: str, value: Any) -> None:
    parent, last = _parent(root, path)
    if isinstance(parent, list):
        if last > len(parent):
            raise IndexError(f"{path} is past the end of the list")
        parent.insert(last, value)
    else:
        parent[last] = value
