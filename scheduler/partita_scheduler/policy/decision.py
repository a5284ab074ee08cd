"""Which node is best for a pod: predict what kube-scheduler will allocate on each, judge what that leaves. Pure.

This module is the interface of the room; the allocator is in allocator/, the judgement in the scorer plugins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from partita_plugins.contracts import Counts
from partita_scheduler.allocator.in_use import Uses, in_use
from partita_scheduler.allocator.result import Budget
from partita_scheduler.cluster.view import ClusterView, Pod
from partita_scheduler.policy.claims import claim_of, needs_no_claim
from partita_scheduler.policy.extended import asks_for_served
from partita_scheduler.policy.question import Question, question
from partita_scheduler.policy.row import LATE, Row, Verdict, look, rows, verdict
from partita_scheduler.scoring.ranking import Rank, ranking_of

STEPS_PER_POD = 150_000
"""Devices looked at for all nodes of one pod, about 0.4 s: an answer after kube-scheduler's httpTimeout is none.

Nodes beyond that are undecided; the next question begins with those that are remembered."""

BEST_SCORE = 10
REST_SCORE = 5
"""Scores are 0 to 10; by the gap the first choice is ahead, times the stanza's weight."""


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
    return awaits_claims(view, pod) or asks_for_served(view.classes, pod)


def awaits_claims(view: ClusterView, pod: Pod) -> bool:
    """Whether a claim of the pod is still to be made or to be allocated."""
    for entry in pod.spec.resource_claims:
        claim = claim_of(view, pod, entry.name)
        if claim.status.allocation is None if claim else not needs_no_claim(pod, entry.name):
            return True
    return False


def decide(view: ClusterView, pod: Pod, node_names: Sequence[str]) -> Decision:
    """A verdict for every named node, and their order. Pure and bounded; never raises for what a user wrote."""
    asked = question(view, pod)
    return decide_each(view, asked, node_names, in_use(view, pod.metadata.uid))


def decide_each(
    view: ClusterView,
    asked: Question,
    node_names: Sequence[str],
    uses: Uses,
    *,
    late: Callable[[], bool] = lambda: False,
) -> Decision:
    """The decision on a question, node by node, with no opinion on those left once it is `late`.

    `uses` as for `row.look`.
    """
    if asked.needs.problem:
        reasons = (asked.needs.problem,)
        return Decision(verdicts={name: Verdict(node=name, reasons=reasons) for name in node_names})
    budget = Budget(STEPS_PER_POD)
    names = dict.fromkeys(node_names)
    looked = ((Row(name, LATE) if late() else look(view, asked, name, uses, budget)) for name in names)
    found = rows(view, [(asked, one) for one in looked])
    return Decision(
        verdicts={one.node: verdict(asked, one) for one in found},
        order=in_order(view, {one.node: one.found.rank for one in found if one.fits}),
        hard_refusals={one.node: one.refusal for one in found if one.refusal},
        notes=asked.wishes.notes,
    )


def in_order(view: ClusterView, ranks: Mapping[str, Rank]) -> tuple[str, ...]:
    """Nodes that fit, best first; equals by name."""
    nodes = Counter(ranks.values())
    counts = np.array(list(nodes.values()), dtype=np.int64)
    found = ranking_of(view.scoring).grades(np.array(list(nodes)), counts, view.workload)
    grades = dict(zip(nodes, found.tolist(), strict=True))
    return tuple(sorted(ranks, key=lambda name: (grades[ranks[name]], name)))


def scores(decision: Decision, node_names: Sequence[str]) -> dict[str, int]:
    """BEST_SCORE for exactly one node, at most REST_SCORE for the rest by rank; all 0 where nothing is known to fit."""
    asked = set(node_names)
    fitting = [name for name in decision.order if name in asked]
    return dict.fromkeys(node_names, 0) | dict(zip(fitting, scores_by_place(len(fitting)).tolist(), strict=True))


def scores_by_place(count: int) -> Counts:
    """The scores of so many nodes that fit, best first."""
    rest = max(1, count - 1)
    found = REST_SCORE - (np.arange(-1, count - 1) * (REST_SCORE + 1)) // rest
    found[:1] = BEST_SCORE
    return found
