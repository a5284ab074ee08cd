"""What a pod still needs: its claims to allocate, those allocated already, and plain extended resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource_claim import Allocation, DeviceClass, ResourceClaim
from partita_scheduler.allocator.elsewhere import unsound_pool
from partita_scheduler.allocator.plan import ClaimPlan, plan_claim
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.cluster.view import ClusterView, Pod
from partita_scheduler.policy.extended import extended_resources
from partita_scheduler.reasons import Reason


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
    return Wants(tuple(plans), tuple(allocated), extended_resources(view.classes, pod) or None, tuple(claims))


def _assumed_by_others(view: ClusterView, pod: Pod, claim: ResourceClaim) -> Allocation | None:
    """A claim that several pods share goes where the first of them is believed to go."""
    assumed = view.assumed.get(claim.metadata.uid)
    return assumed.allocation if assumed and assumed.pod_uid != pod.metadata.uid else None
