"""Which node is best for a pod: predict what kube-scheduler will allocate on each, judge what that leaves. Pure.

This module is the interface of the room; the allocator is in allocator/, the judgement in the scorer plugins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from partita_plugins.contracts import NO_SHAPE, PodShape
from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource import Allocation
from partita_scheduler.allocator.allocation import allocation
from partita_scheduler.allocator.in_use import Uses, in_use
from partita_scheduler.allocator.inputs import InputPool
from partita_scheduler.allocator.node_match import selector_matches
from partita_scheduler.allocator.nodes import node_pools, own_pools
from partita_scheduler.allocator.result import Budget
from partita_scheduler.allocator.rules import Rules, rules_for
from partita_scheduler.cluster.cpu import cpu_in_steps, cpu_milli
from partita_scheduler.cluster.view import EXTENDED_CLAIM_NAME, ClusterView, Pod
from partita_scheduler.policy.claims import Wants, claim_of, claim_problem, needs_no_claim, wants
from partita_scheduler.policy.extended import extended_plan, extended_resources, extended_shape
from partita_scheduler.policy.node import Judgement, Outlook, judge
from partita_scheduler.policy.state import Cpu
from partita_scheduler.policy.wishes import Wishes, wishes
from partita_scheduler.reasons import Reason
from partita_scheduler.scoring.ranking import Rank, ranking_of

STEPS_PER_POD = 150_000
"""Devices looked at for all nodes of one pod, about 0.4 s: an answer after kube-scheduler's httpTimeout is none.

Nodes beyond that are undecided; the next question begins with those that are remembered."""

UNBINDABLE = Reason(
    "unbindable", "kube-scheduler cannot bind a pod here that has claims, and whose extended resources the node serves"
)
"""It makes an empty claim for the resources then, and fails on that before the binding (seen on 1.36.3 and 1.37.2)."""

BEST_SCORE = 10
REST_SCORE = 5
"""Scores are 0 to 10; the gap makes the first choice win against the in-tree plugins' 14 x 100."""

NOT_SEEN = Judgement(undecided=True, reasons=(Reason("unknown", "not seen yet"),))
"""Of a node that is not in the view."""


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

    rank: Rank = ()
    """Figures that the order is made from: the alternatives' places, then the scorers'."""

    takes: PodShape = NO_SHAPE
    """What the pod would take here."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a pod asks of every node."""

    pod: Pod
    needs: Wants
    wishes: Wishes
    rules: Rules
    cpu_milli: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of the claims to allocate, in the order of the pod's spec."""
        return tuple(plan.name for plan in self.needs.plans)

    @property
    def shape(self) -> Hashable | None:
        """Equal for questions with equal answers on every node, claim names aside, while classes stay the same.

        None: it depends on more than the node's content and use, so that an answer is good for this pod alone.
        """
        needs = self.needs
        if needs.problem or needs.allocated or any(plan.reads_everything for plan in needs.plans):
            return None
        return needs.plans, extended_shape(self.pod, needs.extended or {}), self.wishes, self.rules, self.cpu_milli


@dataclass(frozen=True, slots=True)
class Row:
    """One node's answer to a question: what a verdict is made from when somebody asks for it."""

    node: str
    found: Judgement
    pools: tuple[InputPool, ...] = ()
    extended: bool = False
    """Whether the last of the picks are for the claim that kube-scheduler will make for extended resources."""

    refusal: str = ""
    """The wish that the node breaks."""

    @property
    def fits(self) -> bool:
        return self.found.picks is not None and not self.refusal


def decide(view: ClusterView, pod: Pod, node_names: Sequence[str]) -> Decision:
    """A verdict for every named node, and their order. Pure and bounded; never raises for what a user wrote."""
    asked = question(view, pod)
    return decide_each(view, asked, node_names, in_use(view, pod.metadata.uid))


def decide_each(view: ClusterView, asked: Question, node_names: Sequence[str], uses: Uses) -> Decision:
    """The decision on a question, node by node. `uses` as for `row`."""
    if asked.needs.problem:
        reasons = (asked.needs.problem,)
        return Decision(verdicts={name: Verdict(node=name, reasons=reasons) for name in node_names})
    budget = Budget(STEPS_PER_POD)
    rows = {name: row(view, asked, name, uses, budget) for name in node_names}
    return Decision(
        verdicts={name: verdict(asked, found) for name, found in rows.items()},
        order=in_order(view, {name: found.found.rank for name, found in rows.items() if found.fits}),
        hard_refusals={name: found.refusal for name, found in rows.items() if found.refusal},
        notes=asked.wishes.notes,
    )


def in_order(view: ClusterView, ranks: Mapping[str, Rank]) -> tuple[str, ...]:
    """Nodes that fit, best first; equals by name."""
    nodes = Counter(ranks.values())
    counts = np.array(list(nodes.values()), dtype=np.int64)
    found = ranking_of(view.scoring).grades(np.array(list(nodes)), counts, view.workload)
    grades = dict(zip(nodes, found.tolist(), strict=True))
    return tuple(sorted(ranks, key=lambda name: (grades[ranks[name]], name)))


def question(view: ClusterView, pod: Pod) -> Question:
    """What the pod asks; what is wrong with its claims stands in `needs.problem`."""
    try:
        needs = wants(view, pod)
    except InvalidInput as error:
        needs = Wants(problem=claim_problem(str(error)))
    annotations = [pod.metadata.annotations, *(claim.metadata.annotations for claim in needs.claims)]
    asked = wishes({key: value for one in annotations for key, value in one.items()})
    # Where nobody counts CPU, pods that differ by it alone are alike; elsewhere, by little.
    cpu = cpu_in_steps(cpu_milli(pod)) if view.cpu_left_milli else 0
    return Question(pod=pod, needs=needs, wishes=asked, rules=rules_for(view.server_minor), cpu_milli=cpu)


def row(view: ClusterView, asked: Question, name: str, uses: Uses, budget: Budget) -> Row:
    """One node's answer. `uses` is everything in use there but what the pod itself is assumed to take."""
    node = view.nodes.get(name)
    if node is None:
        return Row(name, NOT_SEEN)
    for claim, found in asked.needs.allocated:
        if found.node_selector is not None and not selector_matches(found.node_selector, node):
            return Row(name, Judgement(reasons=(Reason("elsewhere", f"claim {claim} is allocated on another node"),)))
    try:
        extended = asked.needs.extended
        plan = extended_plan(asked.pod, node, extended, view) if extended else None
        plans = (*asked.needs.plans, plan) if plan else asked.needs.plans
        pools_of = own_pools if any(one.reads_everything for one in plans) else node_pools
        offered = pools_of(view, node)
        outlook = Outlook(view.scoring, view.workload, Cpu(asked.cpu_milli, view.cpu_left_milli.get(name)))
        judged = judge(offered, uses, plans, rules=asked.rules, budget=budget, outlook=outlook)
    except InvalidInput as error:
        return Row(name, Judgement(reasons=(Reason("invalid", str(error)),)))
    if judged.picks is not None and extended and plan is None and (asked.needs.plans or asked.needs.allocated):
        return Row(name, Judgement(reasons=(UNBINDABLE,)))
    refusal = asked.wishes.refusal(judged) if judged.picks is not None else ""
    return Row(name, judged, offered.pools, plan is not None, refusal)


def verdict(asked: Question, found: Row) -> Verdict:
    """A row in full, with the allocations under the names that the claims of this pod have."""
    judged = found.found
    if found.refusal:
        return Verdict(node=found.node, reasons=(Reason("wish", found.refusal),))
    if judged.picks is None:
        return Verdict(node=found.node, reasons=judged.reasons, undecided=judged.undecided)
    names = (*asked.names, EXTENDED_CLAIM_NAME) if found.extended else asked.names
    allocations = {
        name: allocation(found.node, found.pools, picks, asked.rules)
        for name, picks in zip(names, judged.picks, strict=True)
    }
    return Verdict(
        node=found.node, allocations=allocations, rank=judged.rank, takes=judged.pod, explanation=judged.explanation
    )


def scores(decision: Decision, node_names: Sequence[str]) -> dict[str, int]:
    """BEST_SCORE for exactly one node, at most REST_SCORE for the rest by rank; all 0 where nothing is known to fit."""
    asked = set(node_names)
    fitting = [name for name in decision.order if name in asked]
    return dict.fromkeys(node_names, 0) | dict(zip(fitting, scores_by_place(len(fitting)), strict=True))


@lru_cache(maxsize=64)
def scores_by_place(count: int) -> tuple[int, ...]:
    """The scores of so many nodes that fit, best first."""
    rest = count - 1
    return (BEST_SCORE, *(REST_SCORE - (place * (REST_SCORE + 1)) // rest for place in range(rest)))[:count]
