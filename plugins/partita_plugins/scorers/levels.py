"""The sets of a machine with many GPUs, level by level of bandwidth, without enumerating them.

A level is the graph of all hops of at least so many GB/s. A set has a tree at a level exactly if it is connected in it,
and a ring if it has a cycle through all of it. Machines are made of blocks, so a level's components are nearly always
cliques, in which every order is a ring.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from partita_plugins.scorers.links import Matrix
from partita_plugins.scorers.masks import places
from partita_plugins.scorers.worth import NO_WORTH, OTHERS_SIZES, Worth, worth_of_hops

RING_STEPS = 2_000
"""Of the search for a ring in one set at one level; a set whose ring is not found by then counts as without."""

MAX_REMEMBERED = 4_096


class LevelSets:
    """The sets of a machine of any size. Trees and cliques' rings are exact; elsewhere a ring may be missed."""

    def __init__(self, gbps: Matrix) -> None:
        self._gbps = gbps
        everyone = range(len(gbps))
        self._speeds = sorted({gbps[a][b] for a in everyone for b in everyone if a != b}, reverse=True)
        self._levels = [
            tuple(sum(1 << b for b in everyone if b != a and gbps[a][b] >= speed) for a in everyone)
            for speed in self._speeds
        ]
        """By speed, for each GPU those within reach."""

        self.worth = lru_cache(maxsize=MAX_REMEMBERED)(self._worth)
        self.left = lru_cache(maxsize=MAX_REMEMBERED)(self._all_left)

    def _worth(self, mask: int) -> Worth:
        """Of one set; nothing for fewer than two GPUs."""
        size = mask.bit_count()
        if size < 2:
            return NO_WORTH
        tree = next(i for i, level in enumerate(self._levels) if _component(level, mask, mask & -mask) == mask)
        # The slowest level joins every two.
        ring = next(i for i in range(tree, len(self._levels)) if _has_ring(self._levels[i], mask))
        return worth_of_hops(size, self._speeds[ring], self._speeds[tree], self._ring_sum(mask))

    def _ring_sum(self, mask: int) -> float:
        """Half of every GPU's two best hops: what the best ring has where it can have them all."""
        members = list(places(mask))
        two = [sorted((self._gbps[a][b] for b in members if b != a), reverse=True)[:2] for a in members]
        return sum(sum(hops) for hops in two) if len(members) == 2 else sum(sum(hops) for hops in two) / 2

    def best(self, free: int, size: int) -> int:
        """The set that is worth most of those grown from each free GPU, then leaves most."""
        if size < 1 or free.bit_count() < size:
            return 0
        found, known = 0, NO_WORTH
        for level, speed in zip(self._levels, self._speeds, strict=True):
            if found and speed <= known.gbps:
                break  # Neither a ring nor a tree of this level or a slower one is worth more.
            for mask in self._grown(level, free, size):
                worth = self.worth(mask)
                if not found or (worth, self.left(free & ~mask)) > (known, self.left(free & ~found)):
                    found, known = mask, worth
        return found

    def _grown(self, level: tuple[int, ...], free: int, size: int) -> Iterator[int]:
        """From each free GPU a set grown within the level, each time by the GPU with the most to those in it."""
        seen = set()
        for first in places(free):
            reach = _component(level, free, 1 << first)
            if reach.bit_count() < size:
                continue
            mask = self._grow(level, reach, first, size)
            if mask not in seen:
                seen.add(mask)
                yield mask

    def _grow(self, level: tuple[int, ...], reach: int, first: int, size: int) -> int:
        mask = 1 << first
        totals = list(self._gbps[first])
        while mask.bit_count() < size:
            border = [v for v in places(reach & ~mask) if level[v] & mask]
            # Of equals the one with the least to the rest: a nearly used block is used up.
            added = max(border, key=lambda v: (totals[v], -(level[v] & reach & ~mask).bit_count(), -v))
            mask |= 1 << added
            totals = [total + more for total, more in zip(totals, self._gbps[added], strict=True)]
        return mask

    def _all_left(self, free: int) -> float:
        """Level by level: so many disjoint sets fit into its components, each worth the level where it first does."""
        total, before = 0.0, dict.fromkeys(OTHERS_SIZES, 0)
        for level, speed in zip(self._levels, self._speeds, strict=True):
            parts = [part.bit_count() for part in _components(level, free)]
            for size, known in before.items():
                fitting = sum(part // size for part in parts)
                if fitting > known:
                    total += size * speed * (fitting - known)
                    before[size] = fitting
        return total


def _component(level: tuple[int, ...], within: int, start: int) -> int:
    found, fresh = start, start
    while fresh:
        place = fresh.bit_length() - 1
        fresh &= ~(1 << place)
        more = level[place] & within & ~found
        found |= more
        fresh |= more
    return found


def _components(level: tuple[int, ...], free: int) -> Iterator[int]:
    while free:
        part = _component(level, free, free & -free)
        yield part
        free &= ~part


def _has_ring(level: tuple[int, ...], mask: int) -> bool:
    members = list(places(mask))
    if len(members) == 2:
        return bool(level[members[0]] & mask)
    degrees = [(level[v] & mask).bit_count() for v in members]
    if min(degrees) < 2:
        return False
    if 2 * min(degrees) >= len(members):
        return True  # Dirac, 1952
    return _search_ring(level, mask, members[0])


def _search_ring(level: tuple[int, ...], mask: int, first: int) -> bool:
    """Depth first, those with the fewest ways on before others."""
    stack = [(first, mask & ~(1 << first))]
    for _ in range(RING_STEPS):
        if not stack:
            return False
        at, rest = stack.pop()
        if not rest:
            if level[at] >> first & 1:
                return True
            continue
        steps = sorted(places(level[at] & rest), key=lambda v: -(level[v] & rest).bit_count())
        stack += [(v, rest & ~(1 << v)) for v in steps]
    return False
