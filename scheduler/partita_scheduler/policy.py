"""Which node is best for a pod: predict what kube-scheduler will allocate on each, judge what that leaves. Pure.

This module is the interface; the allocator is in allocator/, the judgement in the scorer plugins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from partita_plugins.wire.resource import Allocation
from partita_scheduler.reasons import Reason
from partita_scheduler.view import ClusterView, Pod

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
    raise NotImplementedError


def decide(view: ClusterView, pod: Pod, node_names: Sequence[str]) -> Decision:
    """A verdict for every named node, and their order. Pure and bounded; never raises for what a user wrote."""
    raise NotImplementedError


def scores(decision: Decision, node_names: Sequence[str]) -> dict[str, int]:
    """BEST_SCORE for exactly one node, at most REST_SCORE for the rest by rank; all 0 where nothing is known to fit."""
    best, *rest = [name for name in decision.order if name in set(node_names)] or [""]
    found = dict.fromkeys(node_names, 0)
    for place, name in enumerate(rest):
        found[name] = REST_SCORE - (place * (REST_SCORE + 1)) // max(len(rest), 1)
    if best:
        found[best] = BEST_SCORE
    return found
