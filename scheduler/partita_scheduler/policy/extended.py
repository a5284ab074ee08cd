"""Plain extended resources that a class serves, and the claim that kube-scheduler makes for them itself."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from msgspec import json

from partita_plugins.errors import InvalidInput
from partita_plugins.model.quantity import parsed
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_claim import (
    DeviceClaim,
    DeviceClass,
    DeviceRequest,
    ExactRequest,
    ResourceClaim,
    ResourceClaimSpec,
)
from partita_scheduler.allocator.plan import ClaimPlan, PlanError, plan_claim
from partita_scheduler.cel.selector import selector
from partita_scheduler.cluster.view import EXTENDED_CLAIM_NAME, ClusterView, Container, Node, Pod

IMPLICIT_PREFIX = "deviceclass.resource.kubernetes.io/"

_classes: dict[int, tuple[Mapping[str, DeviceClass], dict[str, DeviceClass]]] = {}


def classes_by_resource(classes: Mapping[str, DeviceClass]) -> dict[str, DeviceClass]:
    """Extended resource name to its class: the newest of those that name it, the first by name on a tie."""
    known = _classes.get(id(classes))
    if known is None or known[0] is not classes:
        found: dict[str, DeviceClass] = {}
        by_name = sorted(classes.values(), key=lambda one: one.metadata.name)
        for one in sorted(by_name, key=lambda one: one.metadata.creation_timestamp or "", reverse=True):
            if one.spec.extended_resource_name:
                found.setdefault(one.spec.extended_resource_name, one)
            found[f"{IMPLICIT_PREFIX}{one.metadata.name}"] = one
        _classes.clear()
        known = _classes[id(classes)] = (classes, found)
    return known[1]


def marks(classes: Iterable[DeviceClass]) -> tuple[bytes, ...]:
    """Of these, a pod that asks for devices has at least one in its JSON."""
    served = (json.encode(one.spec.extended_resource_name) for one in classes if one.spec.extended_resource_name)
    return (b'"resourceClaims"', b'"' + IMPLICIT_PREFIX.encode("ascii"), *dict.fromkeys(served))


def extended_resources(classes: Mapping[str, DeviceClass], pod: Pod) -> dict[str, DeviceClass]:
    """Extended resources that the pod asks for and that a class serves. Raises InvalidInput."""
    served = classes_by_resource(classes)
    return {
        name: served[name]
        for container in (*pod.spec.init_containers, *pod.spec.containers)
        for name in container.resources.requests.keys() | container.resources.limits.keys()
        if name in served and _quantity(container, name)
    }


def asks_for_served(classes: Mapping[str, DeviceClass], pod: Pod) -> bool:
    """Whether a class serves an extended resource that the pod asks for."""
    try:
        return bool(extended_resources(classes, pod))
    except InvalidInput:
        return False


def without_own(node: Node, extended: Mapping[str, DeviceClass]) -> tuple[str, ...]:
    """The resources that the node does not have itself. Raises InvalidInput."""
    return tuple(name for name in extended if not parsed(str(node.status.allocatable.get(name, "0"))))


def extended_plan(pod: Pod, node: Node, extended: Mapping[str, DeviceClass], view: ClusterView) -> ClaimPlan | None:
    """The plan of the claim that kube-scheduler will make for this node; None where the node has the resources itself.

    Raises PlanError.
    """
    needed = {name: extended[name] for name in without_own(node, extended)}
    if not needed:
        return None
    requests = sorted(_requests(pod, needed), key=lambda request: request.name)
    spec = ResourceClaimSpec(devices=DeviceClaim(requests=requests))
    return plan_claim(ResourceClaim(metadata=ObjectMeta(name=EXTENDED_CLAIM_NAME), spec=spec), view.classes)


def read_everything(classes: Iterable[DeviceClass]) -> bool:
    """Whether what one of them selects may depend on what tells equal machines apart."""
    selectors = (one.cel for found in classes for one in found.spec.selectors if one.cel)
    return any(selector(one.expression).reads_identity for one in selectors)


def extended_shape(pod: Pod, extended: Mapping[str, DeviceClass]) -> Hashable:
    """Equal for pods whose claims for extended resources are equal on every node."""
    if not extended:
        return ()
    initial = len(pod.spec.init_containers)
    return tuple(
        (
            i < initial and one.restart_policy != "Always",
            tuple(sorted(_asked(one))),
            tuple((name, _quantity(one, name)) for name in sorted(extended)),
        )
        for i, one in enumerate((*pod.spec.init_containers, *pod.spec.containers))
    )


def _requests(pod: Pod, needed: Mapping[str, DeviceClass]) -> Iterable[DeviceRequest]:
    """One request per container and resource. Init containers that end reuse what later containers hold."""
    containers = [*pod.spec.init_containers, *pod.spec.containers]
    initial = len(pod.spec.init_containers)
    ends = [i < initial and one.restart_policy != "Always" for i, one in enumerate(containers)]
    for resource in sorted(needed):
        counts = [_quantity(one, resource) for one in containers]
        missing: tuple[int, int] | None = None
        for i, count in enumerate(counts):
            if not ends[i]:
                if count:
                    yield _request(i, containers[i], resource, needed[resource], count)
                continue
            held = sum(n for j, n in enumerate(counts) if j >= i and not ends[j])
            if count > held and (missing is None or count - held > missing[1]):
                missing = (i, count - held)
        if missing:
            yield _request(missing[0], containers[missing[0]], resource, needed[resource], missing[1])


def _request(index: int, container: Container, resource: str, found: DeviceClass, count: int) -> DeviceRequest:
    place = sorted(_asked(container)).index(resource)
    exact = ExactRequest(device_class_name=found.metadata.name, count=count)
    return DeviceRequest(name=f"container-{index}-request-{place}", exactly=exact)


def _asked(container: Container) -> dict[str, Any]:
    """Requests, which default to the limits."""
    return {**container.resources.limits, **container.resources.requests}


def _quantity(container: Container, resource: str) -> int:
    try:
        return int(parsed(str(_asked(container).get(resource, 0))))
    except InvalidInput as error:
        raise PlanError(f"container {container.name}: {error}") from error
