"""What the server itself writes into an object's metadata."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime

from partita_plugins.testing.apiserver.errors import Json, bad_request, conflict
from partita_plugins.testing.apiserver.resources import Resource
from partita_plugins.testing.apiserver.rules.names import Problems, is_dns_subdomain
from partita_plugins.testing.apiserver.store import Stored

NAME_MAX = 253
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "namespace")


def timestamp(moment: datetime | None = None) -> str:
    """A moment (now, where none is given) as Kubernetes writes it."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_new(resource: Resource, namespace: str, obj: Json) -> None:
    """Name, identity and birth of a new object; what only the server may set is dropped."""
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for key in (*_SYSTEM, "managedFields", "resourceVersion", "selfLink"):
        metadata.pop(key, None)
    if not metadata.get("name") and metadata.get("generateName"):
        suffix = "".join(secrets.choice(_SUFFIX) for _ in range(5))
        metadata["name"] = metadata["generateName"][: NAME_MAX - 5] + suffix
    if resource.namespaced:
        metadata["namespace"] = namespace
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp()


def check_name(obj: Json, problems: Problems, *, path_names: bool) -> None:
    name = obj["metadata"].get("name")
    if not name:
        problems.add("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
    elif path_names:
        problems.require("/" not in name and "%" not in name, "metadata.name", f'"{name}" may not contain / or %')
    else:
        problems.require(is_dns_subdomain(name), "metadata.name", f'"{name}" must be a lowercase RFC 1123 subdomain')


def check_version(resource: Resource, old: Stored, body: Json) -> None:
    """Optimistic concurrency: a writer who names a version or a uid must name the current one."""
    metadata, name = body.get("metadata") or {}, old.metadata["name"]
    if metadata.get("name") not in (None, "", name):
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    if metadata.get("uid") and metadata["uid"] != old.metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {old.metadata['uid']}"
        raise conflict(resource.qualified, name, why)
    if metadata.get("resourceVersion") not in (None, "", old.metadata["resourceVersion"]):
        raise conflict(resource.qualified, name)


def keep_system(old: Stored, new: Json) -> None:
    """An update cannot change what only the server writes, nor undo a deletion."""
    metadata = new["metadata"] = dict(new.get("metadata") or {})
    for key in (*_SYSTEM, "name", "resourceVersion"):
        if key in old.metadata:
            metadata[key] = old.metadata[key]
        else:
            metadata.pop(key, None)
    metadata.pop("managedFields", None)


def counted_generation(old: Stored, new: Json) -> int:
    """The generation after an update: one more where anything beyond metadata and status changed."""
    generation = int(old.metadata.get("generation", 1))
    outside = {"metadata", "status"}
    before = {key: value for key, value in old.object.items() if key not in outside}
    now = {key: value for key, value in new.items() if key not in outside}
    return generation + (before != now)


def is_held(obj: Json) -> bool:
    """Whether finalizers keep a deleted object."""
    metadata = obj["metadata"]
    return bool(metadata.get("finalizers") or (obj.get("kind") == "Namespace" and obj["spec"].get("finalizers")))
