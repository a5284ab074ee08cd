"""What a pod still needs: its claims to allocate, those allocated already, and plain extended resources."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource import (
    Allocation,
    DeviceClaim,
    DeviceClass,
    DeviceRequest,
    ExactRequest,
    ObjectMeta,
    ResourceClaim,
    ResourceClaimSpec,
)
from partita_scheduler.allocator.capacity import parsed
from partita_scheduler.allocator.elsewhere import unsound_pool
from partita_scheduler.allocator.plan import ClaimPlan, PlanError, plan_claim
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.cluster.view import EXTENDED_CLAIM_NAME, ClusterView, Container, Node, Pod
from partita_scheduler.reasons import Reason

IMPLICIT_PREFIX = "deviceclass.resource.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class Wants:
    """What a pod needs before it can be placed."""

    plans: tuple[ClaimPlan, ...] = ()
    """Claims to allocate, in the order of the pod's spec."""

    allocated: tuple[tuple[str, Allocation], ...] = ()
    """Claims that are allocated, or assumed to be: their nodes are given."""

    extended: Mapping[str, DeviceClass] | None = None
    """Extended resources of the pod that a class serves, where a node does not have them itself."""

    claims: tuple[ResourceClaim, ...] = ()
    """Those to allocate, beside their plans."""

    problem: Reason | None = None
    """Why no node can be chosen yet."""


def claim_of(view: ClusterView, pod: Pod, entry: str) -> ResourceClaim | None:
    """The claim behind an entry of spec.resourceClaims; None while it is not there."""
    for one in pod.spec.resource_claims:
        if one.name == entry and one.resource_claim_name:
            return view.claims.get((pod.metadata.namespace, one.resource_claim_name))
    made = (one.resource_claim_name for one in pod.status.resource_claim_statuses if one.name == entry)
    name = next(made, None)
    return view.claims.get((pod.metadata.namespace, name)) if name else None


def needs_no_claim(pod: Pod, entry: str) -> bool:
    """Whether the entry's template turned out to need no claim."""
    return any(one.name == entry and one.resource_claim_name is None for one in pod.status.resource_claim_statuses)


def claim_problem(text: str) -> Reason:
    """Something is wrong with a claim or a class: no node is better than another."""
    return Reason("claim", text)


def wants(view: ClusterView, pod: Pod) -> Wants:
    """The pod's needs. What is wrong with a claim or class is told as `problem`."""
    plans: list[ClaimPlan] = []
    claims: list[ResourceClaim] = []
    allocated: list[tuple[str, Allocation]] = []
    for entry in pod.spec.resource_claims:
        claim = claim_of(view, pod, entry.name)
        if claim is None:
            if needs_no_claim(pod, entry.name):
                continue
            return Wants(problem=claim_problem(f"claim {entry.resource_claim_name or entry.name!r} does not exist yet"))
        if claim.metadata.deletion_timestamp:
            return Wants(problem=claim_problem(f"claim {claim.metadata.name} is being deleted"))
        allocation = claim.status.allocation or _assumed_by_others(view, pod, claim)
        if allocation is not None:
            allocated.append((claim.metadata.name, allocation))
            continue
        try:
            plans.append(plan_claim(claim, view.classes))
        except InvalidInput as error:
            return Wants(problem=claim_problem(f"claim {claim.metadata.name}: {error}"))
        claims.append(claim)
    if rules_for(view.server_minor).counters_are_everywhere and any(plan.asks_for_all for plan in plans):
        unsound = unsound_pool(view.slices)
        if unsound:
            text = (
                f"kube-scheduler gives all devices of nothing while pool {unsound.pool} is being changed or is invalid"
            )
            return Wants(problem=Reason("abort", text))
    return Wants(tuple(plans), tuple(allocated), extended_resources(view, pod) or None, tuple(claims))


def _assumed_by_others(view: ClusterView, pod: Pod, claim: ResourceClaim) -> Allocation | None:
    """A claim that several pods share goes where the first of them is believed to go."""
    assumed = view.assumed.get(claim.metadata.uid)
    return assumed.allocation if assumed and assumed.pod_uid != pod.metadata.uid else None


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


def extended_resources(view: ClusterView, pod: Pod) -> dict[str, DeviceClass]:
    """Extended resources that the pod asks for and that a class serves."""
    served = classes_by_resource(view.classes)
    return {
        name: served[name]
        for container in (*pod.spec.init_containers, *pod.spec.containers)
        for name in container.resources.requests.keys() | container.resources.limits.keys()
        if name in served and _quantity(container, name)
    }


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


LEAST_CPU_MILLI = 500


def cpu_in_steps(milli: int) -> int:
    """A request as nodes are judged by it, rounded up to 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, ... CPUs.

    Questions that differ by less have one answer: the extender keeps one for each kind, and not for very many.
    """
    if milli <= 0:
        return 0
    step = LEAST_CPU_MILLI
    while step < milli:
        step *= 2
    between = step * 3 // 4
    return between if step > 2 * LEAST_CPU_MILLI and milli <= between else step


def cpu_milli(pod: Pod) -> int:
    """CPU that kube-scheduler reckons with: containers and sidecars together, or the largest init container. 0 where it
    is not written or not readable: kube-scheduler refuses such a pod by itself."""
    sidecars = [one for one in pod.spec.init_containers if one.restart_policy == "Always"]
    together = sum(map(_cpu_milli, (*pod.spec.containers, *sidecars)))
    return max(together, *map(_cpu_milli, pod.spec.init_containers), 0)


def _cpu_milli(container: Container) -> int:
    try:
        return int(1000 * parsed(str(container.resources.requests.get("cpu", 0))))
    except InvalidInput:
        return 0
