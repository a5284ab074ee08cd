"""Bandwidth among the whole GPUs that a pod would get."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from partita_plugins.contracts import Counts, Floats, Measures, Outcome, Workload
from partita_plugins.scorers.links import Rows, linked_pairwise, pairs, rows, slot_list
from partita_plugins.scorers.sets import best_set, worth_of
from partita_plugins.scorers.worth import NO_WORTH

_RING_UNIT = 1e-6
"""Turns the ring's sum into less than any difference in bandwidth: a node has under 1e5 GB/s."""


class TopologyScorer:
    """The set with the most bandwidth wins; among equals the one whose ring has more links to use."""

    name = "topology"
    counts_cpu = False

    def measure(self, outcomes: Sequence[Outcome], _workload: Workload) -> Measures:
        """Minus the set's GB/s. 0 for one GPU and for partitions."""
        worths = [worth_of(rows(one.before), one.whole) if len(one.whole) > 1 else NO_WORTH for one in outcomes]
        return np.array([[0.0 - round(worth.gbps, 1) - worth.ring_gbps * _RING_UNIT] for worth in worths])

    def score(self, measures: Measures, _nodes: Counts, _workload: Workload) -> Floats:
        """The same."""
        return measures[:, 0]

    def explain(self, outcome: Outcome) -> str:
        """ "GPUs 4 and 5 over NVLink (450 GB/s)"."""
        if not outcome.whole:
            return ""
        names = slot_list(outcome.whole)
        if len(outcome.whole) == 1:
            return names
        links = rows(outcome.before)
        speed = worth_of(links, outcome.whole).gbps
        best = best_set(links, outcome.before.gpus, len(outcome.whole)).worth.gbps
        rest = f", {best:.0f} at best on this machine" if best > speed else ""
        return f"{names} over {_medium(links, outcome.whole, speed)} ({speed:.0f} GB/s{rest})"


def _medium(links: Rows, slots: tuple[int, ...], speed: float) -> str:
    if linked_pairwise(links, slots):
        return "NVLink"
    slow = max((gbps for gbps, nvlink in pairs(links).values() if not nvlink), default=0.0)
    return "PCIe" if speed <= slow else "NVLink in part"
