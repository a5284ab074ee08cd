"""Which sets of a machine's GPUs are worth what, and what they leave for others.

Sets are masks of places in the machine's rows. Of a machine of up to eight GPUs all 256 are worked out once; larger
ones go by levels of bandwidth. Nothing enumerates partitions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol

from partita_plugins.scorers.levels import LevelSets
from partita_plugins.scorers.links import Matrix, Rows, matrix
from partita_plugins.scorers.masks import places, subsets
from partita_plugins.scorers.worth import NO_WORTH, OTHERS_SIZES, Worth, worth_of_hops

TABLE_GPUS = 8
"""Up to here every subset is in a table."""


class Sets(Protocol):
    """The sets of one kind of machine."""

    def worth(self, mask: int) -> Worth:
        """Of one set; nothing for fewer than two GPUs."""

    def best(self, free: int, size: int) -> int:
        """The set of that many free GPUs that is worth most, then leaves most; 0 if there are not so many."""

    def left(self, free: int) -> float:
        """What free GPUs offer to others: the GB/s of the best disjoint pairs, quads and eights, times their GPUs."""


class Choice(NamedTuple):
    """A set that was looked for."""

    slots: tuple[int, ...]
    worth: Worth


@lru_cache(maxsize=128)
def sets_of(links: Rows) -> Sets:
    """The sets of a machine, worked out once for all of its kind."""
    found = matrix(links)
    return SetTable(found) if len(found) <= TABLE_GPUS else LevelSets(found)


def mask_of(links: Rows, slots: Iterable[int]) -> int:
    """The set of these slots; slots that the machine does not have are left out."""
    wanted = frozenset(slots)
    return sum(1 << place for place, row in enumerate(links) if row[0] in wanted)


def worth_of(links: Rows, slots: Iterable[int]) -> Worth:
    """What a set of slots is worth."""
    return sets_of(links).worth(mask_of(links, slots))


def best_set(links: Rows, free: Iterable[int], size: int) -> Choice:
    """The best set of so many free slots; empty if there are not so many."""
    sets = sets_of(links)
    mask = sets.best(mask_of(links, free), size)
    return Choice(tuple(row[0] for place, row in enumerate(links) if mask >> place & 1), sets.worth(mask))


class SetTable:
    """All subsets of a machine of at most eight GPUs."""

    def __init__(self, gbps: Matrix) -> None:
        self._worth = _worths(gbps)
        packed = [_packed(self._worth, size) for size in OTHERS_SIZES]
        self._left: list[float] = [sum(column) for column in zip(*packed, strict=True)]

    def worth(self, mask: int) -> Worth:
        return self._worth[mask]

    def best(self, free: int, size: int) -> int:
        sets = [mask for mask in subsets(free) if mask.bit_count() == size]
        return max(sets, key=lambda mask: (self._worth[mask], self._left[free & ~mask], -mask), default=0)

    def left(self, free: int) -> float:
        return self._left[free]


def _worths(gbps: Matrix) -> list[Worth]:
    """Every set's best ring and tree, each made from those of smaller sets."""
    found = [NO_WORTH] * (1 << len(gbps))
    trees = [float("inf")] * len(found)
    paths: list[_Paths] = [{} for _ in found]
    for mask in range(1, len(found)):
        members = list(places(mask))
        first, *others = members
        if not others:
            paths[mask] = {first: (float("inf"), 0.0)}
            continue
        trees[mask] = max(min(trees[mask & ~(1 << v)], max(gbps[v][u] for u in members if u != v)) for v in members)
        paths[mask] = {v: _longer(paths[mask & ~(1 << v)], gbps[v]) for v in others}
        ring, ring_sum = _longer(paths[mask], gbps[first])
        found[mask] = worth_of_hops(len(members), ring, trees[mask], ring_sum)
    return found


_Paths = dict[int, tuple[float, float]]
"""Paths from a set's first GPU through all of it, by their end: the best weakest hop, and the greatest sum of hops."""


def _longer(paths: _Paths, gbps: tuple[float, ...]) -> tuple[float, float]:
    """The best of them with one hop more."""
    weakest = max(min(hop, gbps[end]) for end, (hop, _) in paths.items())
    return weakest, max(total + gbps[end] for end, (_, total) in paths.items())


def _packed(worth: list[Worth], size: int) -> list[float]:
    """For every set the most that disjoint sets of that size in it are worth, times the size."""
    found = [0.0]
    for mask in range(1, len(worth)):
        low = mask & -mask
        without = mask & ~low
        best = found[without]
        for others in subsets(without):
            if others.bit_count() == size - 1:
                best = max(best, size * worth[others | low].gbps + found[without & ~others])
        found.append(best)
    return found
