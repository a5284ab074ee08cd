"""What can be done to a pod beside reading and writing it: bind it to a node, evict it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from partita_plugins.testing.apiserver.errors import Json, bad_request, conflict
from partita_plugins.testing.apiserver.metadata import timestamp
from partita_plugins.testing.apiserver.operations import Operations
from partita_plugins.testing.apiserver.options import DeleteOptions
from partita_plugins.testing.apiserver.resources import find

PODS = find("pods")

PodVerb = Callable[[Operations, str, str, Json], None]


def bind(operations: Operations, namespace: str, name: str, body: Json) -> None:
    """Give a pod its node, once."""
    node = (body.get("target") or {}).get("name")
    if not node:
        raise bad_request("target.name is required: the node to bind the pod to")
    with operations.store.lock:
        old = operations.get(PODS, namespace, name)
        uid = (body.get("metadata") or {}).get("uid")
        if uid and uid != old.metadata["uid"]:
            raise conflict(PODS.qualified, name, f"Precondition failed: UID in precondition: {uid}")
        if old.metadata.get("deletionTimestamp"):
            raise conflict(PODS.qualified, name, f"pod {name} is being deleted, cannot be assigned to a host")
        if old.object["spec"].get("nodeName"):
            raise conflict(
                PODS.qualified, name, f'pod {name} is already assigned to node "{old.object["spec"]["nodeName"]}"'
            )
        new = old.copy()
        new["spec"]["nodeName"] = node
        others = [entry for entry in new["status"].get("conditions") or [] if entry["type"] != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp()}
        new["status"]["conditions"] = [*others, scheduled]
        operations.commit(PODS, old, new, check=False)


def evict(operations: Operations, namespace: str, name: str, body: Json) -> None:
    """Delete a pod on behalf of somebody who is not its owner. Disruption budgets are not looked at."""
    operations.delete(PODS, namespace, name, DeleteOptions.parse({}, body.get("deleteOptions") or {}))


POD_VERBS: Mapping[str, PodVerb] = MappingProxyType({"binding": bind, "eviction": evict})
