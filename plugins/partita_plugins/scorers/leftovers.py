"""What whole GPUs that are taken would have been worth to others, for their links."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from partita_plugins.contracts import Counts, Floats, Measures, NodeState, Outcome, Workload
from partita_plugins.scorers.links import Matrix, matrix, rows


class LeftoversScorer:
    """The least loss wins: a GPU without NVLink before one with, and one whose bridge has lost its other end first.

    Machines of one kind are equal, whatever is taken of them, unless their links differ within.
    """

    name = "leftovers"
    counts_cpu = False

    def measure(self, outcomes: Sequence[Outcome], _workload: Workload) -> Measures:
        """GB/s that the untouched GPUs lose with the pod's whole GPUs; 0 for partitions and shares."""
        return np.array([[_lost(one) if one.whole else 0.0] for one in outcomes])

    def score(self, measures: Measures, _nodes: Counts, _workload: Workload) -> Floats:
        """The same."""
        return measures[:, 0]

    def explain(self, outcome: Outcome) -> str:
        """ "leaves 6 GPUs untouched"."""
        untouched = sum(not gpu.taken for gpu in outcome.after.gpus.values())
        return f"leaves {untouched} GPUs untouched" if outcome.whole else ""


def _lost(outcome: Outcome) -> float:
    hops = matrix(rows(outcome.before))
    return round(left(outcome.before, hops) - left(outcome.after, hops), 1)


def left(state: NodeState, hops: Matrix) -> float:
    """Of every untouched GPU the best hop that it has, and the best to another untouched one if there is one."""
    untouched = [place for place, (_, gpu) in enumerate(sorted(state.gpus.items())) if not gpu.taken]
    ever = {place: max(hops[place]) for place in untouched}
    return sum(ever[a] + max((hops[a][b] for b in untouched if b != a), default=ever[a]) for a in untouched)
