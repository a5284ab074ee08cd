"""What a set of GPUs is worth, by brute force."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations

from partita_plugins.scorers.links import Matrix


def worth_by_force(gbps: Matrix, members: tuple[int, ...]) -> tuple[float, float]:
    """Every ring, and every threshold at which the set is connected."""
    first, *others = members
    rings = [[gbps[a][b] for a, b in pairwise((first, *order, first))] for order in permutations(others)]
    tree = max(speed for row in gbps for speed in row if speed and connected(gbps, members, speed))
    size = len(members)
    return max(*map(min, rings), tree * (size - 1) / size), max(map(sum, rings))


def connected(gbps: Matrix, members: tuple[int, ...], speed: float) -> bool:
    """Whether hops of at least that speed join all of them."""
    reached, fresh = {members[0]}, [members[0]]
    while fresh:
        at = fresh.pop()
        more = [v for v in members if v not in reached and gbps[at][v] >= speed]
        reached.update(more)
        fresh += more
    return len(reached) == len(members)


def packed_by_force(gbps: Matrix, members: tuple[int, ...], size: int) -> float:
    """The most that disjoint sets of one size are worth, times the size."""
    if len(members) < size:
        return 0.0
    first, others = members[0], members[1:]
    found = packed_by_force(gbps, others, size)
    for chosen in combinations(others, size - 1):
        rest = tuple(v for v in others if v not in chosen)
        found = max(found, size * worth_by_force(gbps, (first, *chosen))[0] + packed_by_force(gbps, rest, size))
    return found
