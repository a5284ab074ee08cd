"""Memory that the pod would get and did not ask for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from partita_plugins.contracts import Counts, Floats, Measures, Outcome, Workload
from partita_plugins.model.quantity import format_mib

SCORE_STEP_MIB = 256
"""Smaller differences are equal."""


class MemoryScorer:
    """The least waste wins: 10Gi asked goes to a 1g.10gb before a 1g.20gb."""

    name = "memory"
    counts_cpu = False

    def measure(self, outcomes: Sequence[Outcome], _workload: Workload) -> Measures:
        """MiB wasted, in steps."""
        wasted = np.array([[max(0, one.granted_mib - one.asked_mib)] for one in outcomes], dtype=np.float64)
        return wasted // SCORE_STEP_MIB * SCORE_STEP_MIB

    def score(self, measures: Measures, _nodes: Counts, _workload: Workload) -> Floats:
        """The same."""
        return measures[:, 0]

    def explain(self, outcome: Outcome) -> str:
        """ "2Gi more than asked"."""
        waste = outcome.granted_mib - outcome.asked_mib
        return f"{format_mib(waste)} more than asked" if waste >= SCORE_STEP_MIB else ""
