"""Which node is best for a pod: predict what kube-scheduler will allocate on each, judge what that leaves. Pure.

This module is the interface; the allocator is in allocator/, the judgement in the scorer plugins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource import Allocation
from partita_scheduler.allocator.in_use import Uses, in_use
from partita_scheduler.allocator.node_match import selector_matches
from partita_scheduler.allocator.nodes import node_pools
from partita_scheduler.allocator.plan import ClaimPlan
from partita_scheduler.allocator.result import Budget
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.policy_claims import Wants, claim_of, extended_plan, extended_resources, needs_no_claim, wants
from partita_scheduler.policy_node import allocation, judge
from partita_scheduler.policy_wishes import Wishes, wishes
from partita_scheduler.reasons import Reason
from partita_scheduler.view import ClusterView, Node, Pod

STEPS_PER_POD = 150_000
"""Devices looked at for all nodes of one pod, about 0.4 s: an answer after kube-scheduler's httpTimeout is none.

Nodes beyond that are undecided; the next question begins with those that are remembered."""

BEST_SCORE = 10
REST_SCORE = 5
"""Scores are 0 to 10; the gap makes the first choice win against the in-tree plugins' 14 x 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found about one node."""

    node: str
    allocations: Mapping[str, Allocation] | None = None
    """Claim name to what kube-scheduler will allocate here, for the claims still to be allocated (the claim for plain
    extended resources has the name EXTENDED_CLAIM_NAME). None: the pod does not fit, or we have no opinion."""

    reasons: tuple[Reason, ...] = ()
    """Why not. Empty on a node that fits."""

    undecided: bool = False
    """The step budget ran out or the node is unknown: neither a fit nor a refusal."""

    rank: tuple[float, ...] = ()
    """What the order is made from, lower is better: alternative, topology, memory waste, fragmentation."""

    explanation: str = ""
    """In plain words: "takes GPUs 4 and 5 over NVLink (450 GB/s); leaves 3g free on GPU 6"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was found about all candidates."""

    verdicts: Mapping[str, Verdict]
    order: tuple[str, ...] = ()
    """Nodes that fit, best first."""

    hard_refusals: Mapping[str, str] = field(default_factory=dict)
    """Nodes to refuse in filter, with the reason: only wishes that the API cannot express."""

    notes: tuple[str, ...] = ()
    """For the pod's event: a wish that nobody understands."""


def concerns_us(view: ClusterView, pod: Pod) -> bool:
    """Whether the pod has device claims (or extended resources that a DeviceClass serves) still to be allocated.

    Cheap: a handful of look-ups. False: every node is equally good to us.
    """
    for entry in pod.spec.resource_claims:
        claim = claim_of(view, pod, entry.name)
        if claim.status.allocation is None if claim else not needs_no_claim(pod, entry.name):
            return True
    try:
        return bool(extended_resources(view, pod))
    except InvalidInput:
        return False


def decide(view: ClusterView, pod: Pod, node_names: Sequence[str]) -> Decision:
    """A verdict for every named node, and their order. Pure and bounded; never raises for what a user wrote."""
    try:
        needs = wants(view, pod)
    except InvalidInput as error:
        needs = Wants(problem=str(error))
    if needs.problem:
        reasons = (Reason("claim", needs.problem),)
        return Decision(verdicts={name: Verdict(node=name, reasons=reasons) for name in node_names})
    annotations = [pod.metadata.annotations, *(claim.metadata.annotations for claim in needs.claims)]
    call = _Call(
        view, pod, needs, wishes({k: v for one in annotations for k, v in one.items()}), in_use(view, pod.metadata.uid)
    )
    verdicts = {name: call.verdict(name) for name in node_names}
    return Decision(
        verdicts=verdicts,
        order=tuple(sorted(call.ranks, key=lambda name: (call.ranks[name], name))),
        hard_refusals=call.refusals,
        notes=call.wishes.notes,
    )


class _Call:
    """The state of one decision."""

    def __init__(self, view: ClusterView, pod: Pod, needs: Wants, asked: Wishes, uses: Uses) -> None:
        self._view, self._pod, self._needs, self.wishes, self._uses = view, pod, needs, asked, uses
        self._rules = rules_for(view.server_minor)
        self._budget = Budget(STEPS_PER_POD)
        self.ranks: dict[str, tuple[float, ...]] = {}
        self.refusals: dict[str, str] = {}

    def verdict(self, name: str) -> Verdict:
        """What was found about one node."""
        node = self._view.nodes.get(name)
        if node is None:
            return Verdict(node=name, undecided=True, reasons=(Reason("unknown", "not seen yet"),))
        for claim, found in self._needs.allocated:
            if found.node_selector is not None and not selector_matches(found.node_selector, node):
                return Verdict(node=name, reasons=(Reason("elsewhere", f"claim {claim} is allocated on another node"),))
        try:
            return self._judged(node, self._plans(node))
        except InvalidInput as error:
            return Verdict(node=name, reasons=(Reason("invalid", str(error)),))

    def _plans(self, node: Node) -> tuple[ClaimPlan, ...]:
        extended = self._needs.extended
        plan = extended_plan(self._pod, node, extended, self._view) if extended else None
        return (*self._needs.plans, plan) if plan else self._needs.plans

    def _judged(self, node: Node, plans: tuple[ClaimPlan, ...]) -> Verdict:
        name = node.metadata.name
        offered = node_pools(self._view, node)
        found = judge(offered, self._uses, plans, rules=self._rules, budget=self._budget)
        if found.picks is None:
            return Verdict(node=name, reasons=found.reasons, undecided=found.undecided)
        refusal = self.wishes.refusal(found)
        if refusal:
            self.refusals[name] = refusal
            return Verdict(node=name, reasons=(Reason("wish", refusal),))
        self.ranks[name] = found.rank
        allocations = {
            plan.name: allocation(name, offered.pools, picks, self._rules)
            for plan, picks in zip(plans, found.picks, strict=True)
        }
        return Verdict(node=name, allocations=allocations, rank=found.rank, explanation=found.explanation)


def scores(decision: Decision, node_names: Sequence[str]) -> dict[str, int]:
    """BEST_SCORE for exactly one node, at most REST_SCORE for the rest by rank; all 0 where nothing is known to fit."""
    asked = set(node_names)
    best, *rest = [name for name in decision.order if name in asked] or [""]
    found = dict.fromkeys(node_names, 0)
    for place, name in enumerate(rest):
        found[name] = REST_SCORE - (place * (REST_SCORE + 1)) // max(len(rest), 1)
    if best:
        found[best] = BEST_SCORE
    return found
