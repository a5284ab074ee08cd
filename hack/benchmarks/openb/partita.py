"""The extender's fragmentation scorer, on devices as kube-scheduler takes them."""

from __future__ import annotations

import numpy as np
from hack.benchmarks.openb.cluster import Bools, Cluster, Ints
from hack.benchmarks.openb.rows import Rows
from hack.benchmarks.openb.trace import Trace, TracePod

from partita_plugins.contracts import Floats, Workload
from partita_plugins.scorers.fragmentation.demand import demand_of
from partita_plugins.scorers.fragmentation.fleet import COLUMNS as FIGURES
from partita_plugins.scorers.fragmentation.fleet import Fleet, figures
from partita_plugins.scorers.fragmentation.loss import COLUMNS as MEASURES
from partita_plugins.scorers.fragmentation.loss import losses, measures
from partita_plugins.scorers.history import History
from partita_scheduler.cluster.cpu import cpu_in_steps, step_milli


class Partita:
    """Learns the workload as it comes; of equal nodes takes the first."""

    def __init__(self, cluster: Cluster, _trace: Trace) -> None:
        self._cluster, self._history = cluster, History()
        self._cpu_steps = np.array([step_milli(int(has)) for has in cluster.cpu_milli])
        self.learn(Workload())

    def choose(self, pod: TracePod) -> tuple[int, Bools] | None:
        """The node, and which of its GPUs; None where the pod fits nowhere."""
        known = self._history.workload
        self._history.saw(pod.shape)
        if self._history.workload is not known:
            self.learn(self._history.workload)
        rows = self._rows.get(pod)
        if rows is None:
            rows = self._rows[pod] = Rows(self._cluster, MEASURES)
        self._renew(rows, pod)
        fitting = np.flatnonzero(rows.fits)
        if not fitting.size:
            return None
        ones = np.ones(len(fitting), dtype=np.int64)
        node = int(fitting[np.argmin(losses(rows.figures[fitting], ones, self._demand))])
        return node, rows.gpus[node]

    def learn(self, workload: Workload) -> None:
        """From now on expect this."""
        self._demand = demand_of(workload)
        self._product = np.array([self._demand.product(name) for name in self._cluster.products])
        self._now = Rows(self._cluster, FIGURES)
        self._rows: dict[TracePod, Rows] = {}

    def _renew(self, rows: Rows, pod: TracePod) -> None:
        cluster = self._cluster
        stale = self._now.stale()
        self._now.figures[stale] = self._figures(stale, cluster.left[stale], self._cpu(stale))
        stale = rows.stale()
        rows.fits[stale] = cluster.fitting(pod, stale)
        stale = stale[rows.fits[stale]]
        gpus = rows.gpus[stale] = cluster.first_fit(pod, stale)
        left = cluster.left[stale] - gpus * pod.shape.gpu_milli
        rows.figures[stale] = measures(
            self._now.figures[stale],
            self._figures(stale, left, np.maximum(0, self._cpu(stale) - cpu_in_steps(pod.shape.cpu_milli))),
            rest=(left * gpus).sum(axis=1).astype(float),
            product=self._product[stale],
            pod=pod.shape,
            demand=self._demand,
        )

    def _cpu(self, nodes: Ints) -> Ints:
        """What the extender knows of the CPU left."""
        left = self._cluster.cpu_milli[nodes]
        found: Ints = left - left % self._cpu_steps[nodes]
        return found

    def _figures(self, nodes: Ints, left: Ints, cpu_milli: Ints) -> Floats:
        fleet = Fleet(
            left=left,
            parted=np.zeros(len(nodes)),
            usable=1000.0 * (left == 1000).sum(axis=1),
            cpu_milli=cpu_milli.astype(float),
            product=self._product[nodes],
        )
        return figures(fleet, self._demand)
