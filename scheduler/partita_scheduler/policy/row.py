"""One node's answer to a question, and the same in full, as the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource_claim import Allocation
from partita_scheduler.allocator.allocation import allocation
from partita_scheduler.allocator.in_use import Uses
from partita_scheduler.allocator.inputs import InputPool
from partita_scheduler.allocator.node_match import selector_matches
from partita_scheduler.allocator.nodes import NodePools, node_pools, own_pools
from partita_scheduler.allocator.result import Budget
from partita_scheduler.cluster.view import EXTENDED_CLAIM_NAME, ClusterView
from partita_scheduler.policy.extended import extended_plan
from partita_scheduler.policy.node import Judgement, Outlook, judge
from partita_scheduler.policy.question import Question
from partita_scheduler.policy.taking import Nothing, Taking, take
from partita_scheduler.reasons import Reason
from partita_scheduler.scoring.cpu import Cpu
from partita_scheduler.scoring.ranking import Rank

UNBINDABLE = Reason(
    "unbindable", "kube-scheduler cannot bind a pod here that has claims, and whose extended resources the node serves"
)
"""It makes an empty claim for the resources then, and fails on that before the binding (seen on 1.36.3 and 1.37.2)."""

NOT_SEEN = Judgement(undecided=True, reasons=(Reason("unknown", "not seen yet"),))
"""Of a node that is not in the view."""

LATE = Judgement(undecided=True, reasons=(Reason("undecided", "no opinion: the search for devices took too long"),))
"""Of a node that nobody came to look at in time."""


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

    explanation: str = ""
    """In plain words: "takes GPUs 4 and 5 over NVLink (450 GB/s); leaves 3g free on GPU 6"."""


BUT_DEVICES = frozenset({"abort", "claim", "elsewhere", "unbindable", "wish"})
"""Codes of reasons that say nothing of what is free on a node."""


def lacks_devices(found: Judgement | Verdict) -> bool:
    """Whether a pod does not fit because of what the node has left, as we see it."""
    return bool(found.reasons) and not found.undecided and not any(one.code in BUT_DEVICES for one in found.reasons)


@dataclass(frozen=True, slots=True)
class Fit:
    """One node where the pod fits, not judged yet."""

    node: str
    taking: Taking
    cpu: Cpu
    pools: tuple[InputPool, ...]
    extended: bool
    """As in Row."""

    def on(self, node: str, view: ClusterView) -> Fit:
        """The same on a node with equal devices in equal use, which are known by other names."""
        cpu = Cpu(self.cpu.asked_milli, view.cpu_left_milli.get(node))
        return Fit(node, self.taking, cpu, self.pools, self.extended)


def look(
    view: ClusterView, asked: Question, name: str, uses: Uses, budget: Budget, *, known: NodePools | None = None
) -> Row | Fit:
    """What a pod would take of a node. `uses` is everything in use there but what the pod itself is assumed to take.

    `known` is what the node offers, where it is to be answered for by that even if the view has other slices by now.
    """
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
        offered = known or pools_of(view, node)
        taking = take(offered, uses, plans, rules=asked.rules, budget=budget)
    except InvalidInput as error:
        return Row(name, Judgement(reasons=(Reason("invalid", str(error)),)))
    if isinstance(taking, Nothing):
        judged = Judgement(reasons=taking.reasons, undecided=taking.undecided)
        return Row(name, judged, offered.pools, plan is not None)
    if extended and plan is None and (asked.needs.plans or asked.needs.allocated):
        return Row(name, Judgement(reasons=(UNBINDABLE,)))
    cpu = Cpu(asked.cpu_milli, view.cpu_left_milli.get(name))
    return Fit(name, taking, cpu, offered.pools, plan is not None)


def rows(view: ClusterView, looked: Sequence[tuple[Question, Row | Fit]]) -> list[Row]:
    """The answers of all nodes that were looked at, perhaps for several questions, judged at once."""
    fits = [one for _, one in looked if isinstance(one, Fit)]
    judged = iter(judge([(one.taking, one.cpu) for one in fits], Outlook(view.scoring, view.workload)))
    return [_judged(asked, one, next(judged)) if isinstance(one, Fit) else one for asked, one in looked]


def _judged(asked: Question, fit: Fit, found: Judgement) -> Row:
    return Row(fit.node, found, fit.pools, fit.extended, asked.wishes.refusal(found))


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
    return Verdict(node=found.node, allocations=allocations, rank=judged.rank, explanation=judged.explanation)
