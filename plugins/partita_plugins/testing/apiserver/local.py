"""The API server's verbs for Python callers in the same process: same checks, same store, no HTTP."""

from __future__ import annotations

from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.events import shown_bytes
from partita_plugins.testing.apiserver.operations import Operations
from partita_plugins.testing.apiserver.options import DeleteOptions, ListOptions
from partita_plugins.testing.apiserver.patches import MERGE_PATCH
from partita_plugins.testing.apiserver.podverbs import bind
from partita_plugins.testing.apiserver.resources import BY_KIND, RESOURCES, Resource, find
from partita_plugins.testing.apiserver.store import Store, Stored, decode
from partita_plugins.testing.kubeapi import Listing

DEFAULT_NAMESPACE = "default"

Objects = list[Json]


class LocalApi:
    """A `KubeApi` over the store itself. What it gives out are copies: changing one changes nothing else."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or Store()
        self.operations = Operations(self.store)

    def create(self, obj: Json, *, namespace: str = "") -> Json:
        resource = resource_of(obj)
        return _shown(resource, self.operations.create(resource, _namespace(resource, obj, namespace), dict(obj)))

    def apply(self, obj: Json) -> Json:
        """Create an object, or merge this one into it: what `kubectl apply` is used for."""
        resource, metadata = resource_of(obj), obj["metadata"]
        namespace = _namespace(resource, obj, "")
        if self.store.get(resource.storage, (namespace, metadata["name"])) is None:
            return self.create(obj)
        patched = self.operations.patch(resource, namespace, metadata["name"], obj, MERGE_PATCH)
        return _shown(resource, patched)

    def get(self, kind: str, name: str, namespace: str = "") -> Json:
        resource = find(kind)
        return _shown(resource, self.operations.get(resource, _where(resource, namespace), name))

    def list(self, kind: str, namespace: str = "", *, label_selector: str = "", field_selector: str = "") -> Listing:
        resource = find(kind)
        wanted = ListOptions(label_selector=label_selector, field_selector=field_selector)
        page = self.operations.list(resource, namespace, wanted)
        return Listing(items=[_shown(resource, item) for item in page.items], resource_version=page.version)

    def update(self, obj: Json, *, subresource: str = "") -> Json:
        resource, name = resource_of(obj), obj["metadata"]["name"]
        where = _namespace(resource, obj, "")
        return _shown(resource, self.operations.update(resource, where, name, dict(obj), subresource=subresource))

    def patch(self, kind: str, name: str, patch: Json, namespace: str = "", *, subresource: str = "") -> Json:
        resource = find(kind)
        found = self.operations.patch(
            resource, _where(resource, namespace), name, patch, MERGE_PATCH, subresource=subresource
        )
        return _shown(resource, found)

    def delete(
        self, kind: str, name: str, namespace: str = "", *, grace_seconds: int | None = None, uid: str = ""
    ) -> None:
        resource = find(kind)
        options = DeleteOptions(grace_seconds=grace_seconds, uid=uid)
        self.operations.delete(resource, _where(resource, namespace), name, options)

    def delete_all(self, kind: str, namespace: str = "", *, label_selector: str = "", field_selector: str = "") -> None:
        wanted = ListOptions(label_selector=label_selector, field_selector=field_selector)
        self.operations.delete_all(find(kind), namespace, wanted, DeleteOptions())

    def bind(self, pod: Json, node: str) -> None:
        metadata = pod["metadata"]
        body: Json = {"metadata": {"uid": metadata["uid"]}, "target": {"kind": "Node", "name": node}}
        bind(self.operations, metadata["namespace"], metadata["name"], body)

    def wait_for_change(self, kind: str, resource_version: int, timeout: float, *, field_selector: str = "") -> bool:
        """Wakes for every object of the kind; the field selector only matters to servers far away."""
        del field_selector
        return self.store.wait(find(kind).storage, resource_version, timeout)

    def peek(self, kind: str, namespace: str = "") -> Objects:
        """The stored objects themselves, for readers that change nothing and cannot wait for copies."""
        return [item.object for item in self.store.select(find(kind).storage, namespace)]

    def dump(self) -> dict[str, Objects]:
        """All objects by resource, as `pods` or `resourceslices.resource.k8s.io`; empty ones are left out."""
        found = {row.storage: [item.copy() for item in self.store.select(row.storage)] for row in RESOURCES}
        return {storage: items for storage, items in found.items() if items}


def resource_of(obj: Json) -> Resource:
    """The resource that an object belongs to, by its apiVersion and kind."""
    found = BY_KIND.get((obj.get("apiVersion", ""), obj.get("kind", "")))
    if found is None:
        stored = f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"
        raise LookupError(f"the embedded API server does not store {stored}; a row in RESOURCES would make it")
    return found


def _where(resource: Resource, namespace: str) -> str:
    return (namespace or DEFAULT_NAMESPACE) if resource.namespaced else ""


def _namespace(resource: Resource, obj: Json, namespace: str) -> str:
    return _where(resource, obj.get("metadata", {}).get("namespace") or namespace)


def _shown(resource: Resource, found: Stored) -> Json:
    shown: Json = decode(shown_bytes(resource, found))
    return shown
