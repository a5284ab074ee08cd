"""As much of kustomize as the manifests use: resources, components, strategic merge patches, images, labels.

`kubectl kustomize` gives the same; this one needs nothing but Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"

Json = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "components", "patches", "images", "labels"}


def documents(file: Path) -> list[Json]:
    """All documents of a YAML file."""
    return [doc for doc in yaml.safe_load_all(file.read_text()) if doc is not None]


def render(folder: Path, found: list[Json] | None = None) -> list[Json]:
    """The objects that `kubectl apply -k` would send; a component changes those found so far."""
    [kustomization] = documents(folder / "kustomization.yaml")
    assert set(kustomization) <= KNOWN, f"{folder} uses more of kustomize than the tests know"
    objects = found if found is not None else []
    for name in kustomization.get("resources", []):
        path = folder / name
        objects += render(path) if path.is_dir() else documents(path)
    for name in kustomization.get("components", []):
        render(folder / name, objects)
    for entry in kustomization.get("patches", []):
        for patch in documents(folder / entry["path"]):
            [target] = [i for i, one in enumerate(objects) if identity(one) == identity(patch)]
            objects[target] = merged(objects[target], patch)
    for image in kustomization.get("images", []):
        for container in (c for one in objects for c in containers(one)):
            if container["image"].split(":")[0] == image["name"]:
                container["image"] = f"{image['name']}:{image['newTag']}"
    return objects


def identity(obj: Json) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def containers(obj: Json) -> list[Json]:
    """Containers of a workload or a pod; none of anything else."""
    spec = obj.get("spec", {})
    pod = spec.get("template", {}).get("spec", {}) if obj["kind"] in ("DaemonSet", "Deployment") else spec
    return list(pod.get("containers", [])) if obj["kind"] in ("DaemonSet", "Deployment", "Pod") else []


def merged(old: Any, new: Any) -> Any:
    """Strategic merge: null and $patch: delete remove, lists of named things merge by name, others are replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = {key: merged(old.get(key), value) for key, value in new.items()}
        return {key: value for key, value in {**old, **both}.items() if value is not None}
    if _named(old) and _named(new):
        by_name = {entry["name"]: entry for entry in old}
        for entry in new:
            if entry.get("$patch") == "delete":
                del by_name[entry["name"]]
                continue
            by_name[entry["name"]] = merged(by_name.get(entry["name"]), entry)
        return list(by_name.values())
    return {k: merged(None, v) for k, v in new.items() if v is not None} if isinstance(new, dict) else new


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(e, dict) and "name" in e for e in value)


OVERLAYS = MANIFESTS / "overlays"
INSTALLATIONS = [MANIFESTS / "base", OVERLAYS / "simulated", OVERLAYS / "e2e", OVERLAYS / "e2e-nvml"]
SECOND_SCHEDULER = MANIFESTS / "second-scheduler"
EXAMPLES = sorted(path for path in (MANIFESTS / "examples").iterdir() if path.is_dir())


def one(objects: list[Json], kind: str, name: str, namespace: str = "") -> Json:
    """The only object of that identity; cluster-scoped or in any namespace unless one is named."""
    [found] = [
        obj
        for obj in objects
        if obj["kind"] == kind
        and obj["metadata"]["name"] == name
        and namespace in ("", obj["metadata"].get("namespace", ""))
    ]
    return found
