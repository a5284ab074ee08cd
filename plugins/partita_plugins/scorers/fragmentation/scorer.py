"""The scorer: figures of one node once for all nodes alike, prices of what is rare at each decision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from partita_plugins.contracts import Counts, Floats, GpuState, Measures, Outcome, PodShape, Workload
from partita_plugins.model.quantity import format_mib
from partita_plugins.scorers.fragmentation.demand import demand_of
from partita_plugins.scorers.fragmentation.fleet import figures, fleet_of, left_milli
from partita_plugins.scorers.fragmentation.loss import COLUMNS, losses, measures
from partita_plugins.scorers.fragmentation.placements import largest

_DIGITS = 6
"""Nodes alike must have equal figures whatever the order of the sums."""


class FragmentationScorer:
    """The least growth wins, so what is fragmented already is filled first."""

    name = "fragmentation"
    counts_cpu = True

    def measure(self, outcomes: Sequence[Outcome], workload: Workload) -> Measures:
        """The loss as far as the node alone tells it, and what the cluster's prices multiply."""
        demand = demand_of(workload)
        products = [demand.product(_product(one)) for one in outcomes]
        fleet = fleet_of([*(one.before for one in outcomes), *(one.after for one in outcomes)], products * 2)
        worth = figures(fleet, demand)
        before, after, product = worth[: len(outcomes)], worth[len(outcomes) :], fleet.product[: len(outcomes)]
        rest = np.array([float(sum(left_milli(one.after.gpus[slot]) for slot in one.slots)) for one in outcomes])
        found = np.empty((len(outcomes), COLUMNS))
        alike: dict[PodShape, list[int]] = {}
        for row, one in enumerate(outcomes):
            alike.setdefault(one.pod, []).append(row)
        for pod, rows in alike.items():
            found[rows] = measures(
                before[rows], after[rows], rest=rest[rows], product=product[rows], pod=pod, demand=demand
            )
        return found.round(_DIGITS)

    def score(self, measures: Measures, nodes: Counts, workload: Workload) -> Floats:
        """Milli-GPU lost to the pods to come."""
        return losses(measures, nodes, demand_of(workload))

    def explain(self, outcome: Outcome) -> str:
        """ "leaves 3g free on GPU 6"."""
        left = [_left(slot, outcome.after.gpus[slot]) for slot in outcome.slots if slot not in outcome.whole]
        return f"leaves {', '.join(left)}" if left else ""


def _product(outcome: Outcome) -> str:
    """Of the GPU that the pod has, or would."""
    return next((outcome.before.gpus[slot].product for slot in outcome.slots if slot in outcome.before.gpus), "")


def _left(slot: int, gpu: GpuState) -> str:
    if gpu.shared_free_mib is not None:
        return f"{format_mib(gpu.shared_free_mib)} of GPU {slot} to share"
    kind = largest(gpu)
    return f"{kind} free on GPU {slot}" if kind else f"nothing on GPU {slot}"
