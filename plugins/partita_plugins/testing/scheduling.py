"""The writes of a scheduler, without its decisions: allocate and reserve claims, bind a pod, say why it has no node."""

from __future__ import annotations

import json
from collections.abc import Iterator

from partita_plugins.testing.apiserver.errors import ApiError
from partita_plugins.testing.apiserver.metadata import timestamp
from partita_plugins.testing.kubeapi import Json, KubeApi
from partita_plugins.testing.objects import (
    CLAIM_FINALIZER,
    allocation_of,
    is_active,
    name_of,
    namespace_of,
    reserved_for,
    uid_of,
)
from partita_plugins.testing.recording import record_event

COMPONENT = "default-scheduler"
CONFLICT_TRIES = 5
_OF_ALLOCATION = ("allocation", "reservedFor", "devices")


def pending_pods(api: KubeApi) -> list[Json]:
    """Pods that wait for a node, oldest first."""
    waiting = [pod for pod in api.list("Pod", field_selector="spec.nodeName=") if is_active(pod)]
    waiting = [pod for pod in waiting if not pod["spec"].get("schedulingGates")]
    return sorted(
        waiting, key=lambda pod: (pod["metadata"]["creationTimestamp"], int(pod["metadata"]["resourceVersion"]))
    )


def reserve_claim(api: KubeApi, claim: Json, pod: Json, allocation: Json | None = None) -> Json:
    """Write the allocation (where the claim has none) and the pod's reservation, as kube-scheduler's PreBind does.

    The finalizer comes first, with a write of its own. ApiError(409) when somebody else allocated it meanwhile.
    """
    for attempt in range(CONFLICT_TRIES):
        try:
            return _reserve_once(api, claim, pod, allocation)
        except ApiError as error:
            if error.code != 409 or attempt == CONFLICT_TRIES - 1:
                raise
        fresh = api.get("ResourceClaim", name_of(claim), namespace_of(claim))
        if uid_of(fresh) != uid_of(claim) or (allocation and allocation_of(fresh) not in (None, allocation)):
            message = (
                f"ResourceClaim {name_of(claim)} was replaced or allocated by somebody else; schedule the pod again"
            )
            raise ApiError(409, "Conflict", message)
        claim = fresh
    raise AssertionError("unreachable: the last attempt returns or raises")


def unreserve_claim(api: KubeApi, claim: Json, pod: Json) -> Json:
    """Take a pod's reservation back, after a bind that failed; the allocation goes with the last one."""
    fresh = api.get("ResourceClaim", name_of(claim), namespace_of(claim))
    status = dict(fresh.get("status") or {})
    status["reservedFor"] = [entry for entry in reserved_for(fresh) if entry.get("uid") != uid_of(pod)]
    if not status["reservedFor"]:
        status.pop("allocation", None)
    return api.update({**fresh, "status": status}, subresource="status")


def binding_failure(claim: Json) -> str:
    """What a driver says is wrong with an allocated device, in the words of kube-scheduler's event; empty: nothing."""
    for result, conditions in _bound_results(claim):
        for kind in result.get("bindingFailureConditions") or []:
            if said := conditions.get(kind):
                reason, message = said.get("reason", ""), json.dumps(said.get("message", ""))
                return f"device binding failed: claim={name_of(claim)}, reason={reason}, message={message}"
        if not all(conditions.get(kind) for kind in result["bindingConditions"]):
            return ""
    return ""


def is_ready_to_bind(claim: Json) -> bool:
    """Whether all binding conditions of all allocated devices are met. kube-scheduler looks every 5 s (KEP-5007)."""
    return not binding_failure(claim) and all(
        conditions.get(kind) for result, conditions in _bound_results(claim) for kind in result["bindingConditions"]
    )


def deallocate_claim(api: KubeApi, claim: Json) -> Json:
    """Take the devices back after a failure, as kube-scheduler's next attempt does."""
    fresh = api.get("ResourceClaim", name_of(claim), namespace_of(claim))
    status = {key: value for key, value in (fresh.get("status") or {}).items() if key not in _OF_ALLOCATION}
    return api.update({**fresh, "status": status}, subresource="status")


def bind_pod(api: KubeApi, pod: Json, node: str) -> None:
    """Give a pod its node, and say so in an event."""
    api.bind(pod, node)
    message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
    record_event(api, pod, reason="Scheduled", message=message, component=COMPONENT, kind="Normal")


def report_unschedulable(api: KubeApi, pod: Json, message: str) -> None:
    """The condition and the FailedScheduling event of a pod that no node takes. Said once per message."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    found: Json = next((entry for entry in conditions if entry["type"] == "PodScheduled"), {})
    if (found.get("status"), found.get("message")) == ("False", message):
        return
    now = timestamp()
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    others = [entry for entry in conditions if entry["type"] != "PodScheduled"]
    patch = {
        "metadata": {"uid": uid_of(pod)},
        "status": {"conditions": [*others, {**condition, "lastTransitionTime": now}]},
    }
    api.patch("Pod", name_of(pod), patch, namespace_of(pod), subresource="status")
    record_event(api, pod, reason="FailedScheduling", message=message, component=COMPONENT)


def _bound_results(claim: Json) -> Iterator[tuple[Json, dict[str, Json]]]:
    """Allocated devices that have binding conditions, in order, each with its conditions that are true."""
    told = {_device_of(entry): entry for entry in (claim.get("status") or {}).get("devices") or []}
    for result in ((allocation_of(claim) or {}).get("devices") or {}).get("results") or []:
        if result.get("bindingConditions"):
            conditions = told.get(_device_of(result), {}).get("conditions") or []
            yield result, {one["type"]: one for one in conditions if one.get("status") == "True"}


def _device_of(entry: Json) -> tuple[str, ...]:
    return tuple(str(entry.get(key) or "") for key in ("driver", "pool", "device", "shareID"))


def _reserve_once(api: KubeApi, claim: Json, pod: Json, allocation: Json | None) -> Json:
    finalizers = claim["metadata"].get("finalizers") or []
    if CLAIM_FINALIZER not in finalizers:
        protected = {**claim["metadata"], "finalizers": [*finalizers, CLAIM_FINALIZER]}
        claim = api.update({**claim, "metadata": protected})
    status = dict(claim.get("status") or {})
    if allocation_of(claim) is None:
        if allocation is None:
            raise ValueError(f"ResourceClaim {name_of(claim)} has no allocation; give one")
        status["allocation"] = allocation
    if all(entry.get("uid") != uid_of(pod) for entry in reserved_for(claim)):
        consumer = {"resource": "pods", "name": name_of(pod), "uid": uid_of(pod)}
        status["reservedFor"] = [*reserved_for(claim), consumer]
    return api.update({**claim, "status": status}, subresource="status")
