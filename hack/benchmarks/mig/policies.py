"""Who chooses the place of a partition. Each sees a fleet of masks, one list of GPUs a node."""

from __future__ import annotations

import random
from typing import Protocol

import numpy as np
from hack.benchmarks.mig.geometry import GPUS, MASKS, SLICES, Geometry, first_fit

from partita_plugins.contracts import Counts, Floats, PodShape, Workload
from partita_plugins.scorers.fragmentation.demand import demand_of
from partita_plugins.scorers.fragmentation.fleet import Fleet, figures
from partita_plugins.scorers.fragmentation.loss import COLUMNS, losses, measures
from partita_plugins.scorers.history import History

Place = tuple[int, int, int]
"""Node, GPU, mask of slices."""


class Policy(Protocol):
    """Chooses, and is told what has changed."""

    def choose(self, shape: str) -> Place | None:
        """Where the partition goes; None where it fits nowhere."""

    def changed(self, node: int) -> None:
        """A partition came or went there."""


class Naive:
    """A random node with room, and its first free placement from the first slice up: no extender, no order."""

    def __init__(self, taken: list[list[int]], geometry: Geometry, seed: int) -> None:
        self._taken, self._tried = taken, geometry.naive
        self._draw = random.Random(seed)

    def choose(self, shape: str) -> Place | None:
        """Where the partition goes."""
        places = [
            (node, found) for node, gpus in enumerate(self._taken) if (found := first_fit(self._tried[shape], gpus))
        ]
        if not places:
            return None
        node, (gpu, mask) = self._draw.choice(places)
        return node, gpu, mask

    def changed(self, node: int) -> None:
        """Nothing is kept."""


class Whole:
    """The best placement of the whole fleet by one figure of a GPU's taken slices; no kube-scheduler in between."""

    def __init__(self, taken: list[list[int]], worth: Floats, geometry: Geometry) -> None:
        self._taken = taken
        self._best: dict[str, list[tuple[float, int]]] = {}
        for shape, placements in geometry.placements.items():
            self._best[shape] = [
                min(
                    ((worth[now] - worth[now | mask], mask) for mask in placements if not now & mask),
                    default=(float("inf"), 0),
                )
                for now in range(MASKS)
            ]

    def choose(self, shape: str) -> Place | None:
        """Where the partition goes; of equals the first GPU."""
        best = self._best[shape]
        loss, node, gpu = min(
            (best[now][0], node, gpu) for node, gpus in enumerate(self._taken) for gpu, now in enumerate(gpus)
        )
        return None if loss == float("inf") else (node, gpu, best[self._taken[node][gpu]][1])

    def changed(self, node: int) -> None:
        """Nothing is kept."""


class Partita:
    """The extender's fragmentation scorer chooses the node, the published order the place there."""

    def __init__(self, taken: list[list[int]], geometry: Geometry) -> None:
        self._taken, self._geometry, self._history = taken, geometry, History()
        self._workload = Workload()
        self._rows: dict[str, Floats] = {}
        self._places: dict[str, list[tuple[int, int] | None]] = {}
        self._stale: dict[str, set[int]] = {}

    def changed(self, node: int) -> None:
        """Its answers are worked out again when somebody asks."""
        for stale in self._stale.values():
            stale.add(node)

    def choose(self, shape: str) -> Place | None:
        """Where the partition goes; of equal nodes the first."""
        self._history.saw(PodShape(gpus=1, partition=shape))
        if self._history.workload is not self._workload:
            self._workload = self._history.workload
            self._rows.clear()
        if shape not in self._rows:
            self._rows[shape] = np.zeros((len(self._taken), COLUMNS))
            self._places[shape] = [None] * len(self._taken)
            self._stale[shape] = set(range(len(self._taken)))
        self._renew(shape)
        places = self._places[shape]
        fitting = np.array([node for node, place in enumerate(places) if place], dtype=np.int64)
        if not fitting.size:
            return None
        ones = np.ones(len(fitting), dtype=np.int64)
        lost = losses(self._rows[shape][fitting], ones, demand_of(self._workload))
        node = int(fitting[np.argmin(lost.round(6))])
        gpu, mask = places[node] or (0, 0)
        return node, gpu, mask

    def _renew(self, shape: str) -> None:
        tried = self._geometry.published[shape]
        for node in self._stale[shape]:
            self._places[shape][node] = first_fit(tried, self._taken[node])
        nodes = [node for node in sorted(self._stale[shape]) if self._places[shape][node]]
        self._stale[shape].clear()
        if not nodes:
            return
        before = np.array([self._taken[node] for node in nodes])
        after = before.copy()
        for row, node in enumerate(nodes):
            gpu, mask = self._places[shape][node] or (0, 0)
            after[row, gpu] |= mask
        demand = demand_of(self._workload)
        self._rows[shape][nodes] = measures(
            figures(self._fleet(before), demand),
            figures(self._fleet(after), demand),
            rest=np.zeros(len(nodes)),
            product=np.full(len(nodes), len(demand.products)),
            pod=PodShape(gpus=1, partition=shape),
            demand=demand,
        )

    def _fleet(self, taken: Counts) -> Fleet:
        free = SLICES - np.array([mask.bit_count() for mask in range(MASKS)])
        return Fleet(
            left=1000 * (taken == 0),
            parted=(1000.0 / SLICES * free[taken] * (taken != 0)).sum(axis=1),
            usable=self._geometry.usable[taken].sum(axis=1),
            cpu_milli=np.full(len(taken), np.inf),
            product=np.zeros(len(taken), dtype=np.int64),
        )


def make(name: str, nodes: int, geometry: Geometry, seed: int) -> tuple[Policy, list[list[int]]]:
    """A policy with the fleet that it looks at."""
    taken = [[0] * GPUS for _ in range(nodes)]
    policies: dict[str, Policy] = {
        "partita": Partita(taken, geometry),
        "fgd": Whole(taken, geometry.usable - 1000 / SLICES * _free(), geometry),
        "mcc": Whole(taken, geometry.reachable, geometry),
        "naive": Naive(taken, geometry, seed),
    }
    return policies[name], taken


def _free() -> Floats:
    return np.array([float(SLICES - mask.bit_count()) for mask in range(MASKS)])


POLICIES = ("partita", "fgd", "mcc", "naive")
