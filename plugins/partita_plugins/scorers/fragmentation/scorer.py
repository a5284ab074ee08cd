"""The scorer: figures of one node once for all nodes alike, prices of what is rare at each decision."""

from __future__ import annotations

import numpy as np

from partita_plugins.contracts import Counts, Floats, GpuState, Measures, Outcome, Workload
from partita_plugins.model.quantity import format_mib
from partita_plugins.scorers.fragmentation.demand import demand_of
from partita_plugins.scorers.fragmentation.fleet import figures, fleet_of, left_milli
from partita_plugins.scorers.fragmentation.loss import losses, measures
from partita_plugins.scorers.fragmentation.placements import largest

_DIGITS = 6
"""Nodes alike must have equal figures whatever the order of the sums."""


class FragmentationScorer:
    """The least growth wins, so what is fragmented already is filled first."""

    name = "fragmentation"

    def measure(self, outcome: Outcome, workload: Workload) -> tuple[float, ...]:
        """The loss as far as the node alone tells it, and what the cluster's prices multiply."""
        demand = demand_of(workload)
        product = demand.product(_product(outcome))
        fleet = fleet_of([outcome.before, outcome.after], [product, product])
        found = figures(fleet, demand)
        rest = sum(left_milli(outcome.after.gpus[slot]) for slot in outcome.slots)
        row = measures(
            found[:1],
            found[1:],
            rest=np.array([float(rest)]),
            product=fleet.product[:1],
            pod=outcome.pod,
            demand=demand,
        )
        return tuple(round(float(figure), _DIGITS) for figure in row[0])

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
