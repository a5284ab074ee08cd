"""One machine as its driver publishes it and the extender reads it: placements as masks of memory slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from tests.scheduler.decision.fleet import slices, view

from partita_plugins.contracts import Floats, GpuState
from partita_plugins.model.offer import DeviceKind, Offer
from partita_plugins.scorers.fragmentation.placements import usable_milli
from partita_scheduler.allocator.nodes import node_pools
from partita_scheduler.policy.layout import layout

MACHINE = "hgx-h100"
SHAPES = ("1g", "2g", "3g", "4g", "7g")
SIZES = {"1g": 1, "2g": 2, "3g": 4, "4g": 4, "7g": 8}
"""Memory slices of each."""

GPUS, SLICES = 8, 8
MASKS = 1 << SLICES


@dataclass(frozen=True)
class Geometry:
    """Where each shape may be, GPU and slices, in the order in which kube-scheduler tries them."""

    published: dict[str, list[tuple[int, int]]]
    gpu: GpuState
    """One of the GPUs, nothing taken."""

    @classmethod
    def of_machine(cls) -> Geometry:
        """Through slices and the extender's own reading of them."""
        cluster = view({"node": slices("node", MACHINE, Offer(whole=False, mig_shapes=frozenset(SHAPES)))})
        [pool] = node_pools(cluster, cluster.nodes["node"]).pools
        found = layout(pool)
        if found is None:
            raise ValueError(f"the extender does not understand {MACHINE}")
        published: dict[str, list[tuple[int, int]]] = {shape: [] for shape in SHAPES}
        for piece in found.pieces:
            if piece is not None and piece.kind is DeviceKind.MIG:
                [(slot, units)] = piece.units.items()
                published[piece.shape].append((slot, sum(1 << unit for unit in units)))
        return cls(published, found.gpus[0])

    @cached_property
    def naive(self) -> dict[str, list[tuple[int, int]]]:
        """The same placements GPU by GPU, from the first slice up."""
        return {shape: sorted(found) for shape, found in self.published.items()}

    @cached_property
    def placements(self) -> dict[str, list[int]]:
        """Of one GPU, from the first slice up."""
        return {shape: sorted({mask for _, mask in found}) for shape, found in self.published.items()}

    @cached_property
    def usable(self) -> Floats:
        """By mask of taken slices, as the extender measures it."""
        states = (frozenset(i for i in range(SLICES) if not mask >> i & 1) for mask in range(MASKS))
        return np.array([usable_milli(self.gpu.profiles, self.gpu.units, free) for free in states])

    @cached_property
    def reachable(self) -> Floats:
        """By mask: how many (shape, placement) could still be made. MCC keeps this high."""
        everything = [mask for found in self.placements.values() for mask in found]
        return np.array([float(sum(not mask & taken for mask in everything)) for taken in range(MASKS)])


def first_fit(tried: list[tuple[int, int]], taken: list[int]) -> tuple[int, int] | None:
    """The first placement whose slices are free."""
    return next(((slot, mask) for slot, mask in tried if not taken[slot] & mask), None)
