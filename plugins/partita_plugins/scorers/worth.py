"""What a set of GPUs is worth to a collective that runs over it."""

from __future__ import annotations

from typing import NamedTuple

OTHERS_SIZES = (2, 4, 8)
"""Sizes of the sets that other pods may want."""


class Worth(NamedTuple):
    """More is better, the first figure first."""

    gbps: float
    """Unidirectional GB/s of the weakest hop of the best ring, or (n - 1)/n of the best tree's if that is more."""

    ring_gbps: float
    """Summed over the hops of the ring with the most, a pair counting its hop twice: the links that can be used."""


NO_WORTH = Worth(0.0, 0.0)


def worth_of_hops(size: int, ring: float, tree: float, ring_sum: float) -> Worth:
    """From the weakest hops of the best ring and tree. A pipelined all-reduce moves (n - 1)/n of the data over every
    hop of a ring and all of it over every hop of a tree."""
    return Worth(max(ring, tree * (size - 1) / size), ring_sum)
