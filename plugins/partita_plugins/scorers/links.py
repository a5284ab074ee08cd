"""Bandwidth among the GPUs of a node, as its slices tell: weakest hop over the best tree, without enumerating sets."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations

from partita_plugins.contracts import NodeState
from partita_plugins.model.topology import PCIE_GBPS, PCIE_LEVELS

Rows = tuple[tuple[int, tuple[int, ...], str, int], ...]
"""Slot, NVLinks to each slot, PCIe letters to each slot, GB/s of one NVLink; hashable, equal for equal machines."""

DEFAULT_GBPS = min(PCIE_GBPS.values())
"""Of a pair that nothing is known about."""


def rows(state: NodeState) -> Rows:
    """The links of a node."""
    return tuple((slot, gpu.nvlinks, gpu.pcie, gpu.nvlink_gbps) for slot, gpu in sorted(state.gpus.items()))


@lru_cache(maxsize=512)
def pairs(links: Rows) -> dict[tuple[int, int], tuple[float, bool]]:
    """(a, b) with a < b to unidirectional GB/s and whether that is NVLink."""
    return {(a[0], b[0]): _pair(a, b[0]) for a, b in combinations(links, 2)}


def _pair(row: tuple[int, tuple[int, ...], str, int], other: int) -> tuple[float, bool]:
    _, nvlinks, pcie, gbps = row
    count = nvlinks[other] if other < len(nvlinks) else 0
    if count:
        return float(count * gbps), True
    level = PCIE_LEVELS.get(pcie[other]) if other < len(pcie) else None
    return (PCIE_GBPS[level] if level else DEFAULT_GBPS), False


@lru_cache(maxsize=8192)
def set_bandwidth(links: Rows, slots: tuple[int, ...]) -> float:
    """GB/s of the weakest hop over the set's best spanning tree; 0 for fewer than two GPUs."""
    return best_bandwidth(tuple(row for row in links if row[0] in slots), len(slots))


@lru_cache(maxsize=8192)
def best_bandwidth(links: Rows, size: int) -> float:
    """The most that any set of that size has on this machine; 0 if there is no such set.

    A set is connected over hops of at least t exactly if it lies in one component of the graph of those hops, so the
    largest t with a component of that size is the answer.
    """
    if size < 2:
        return 0.0
    found = pairs(links)
    for threshold in sorted({gbps for gbps, _ in found.values()}, reverse=True):
        if _largest_component(pair for pair, (gbps, _) in found.items() if gbps >= threshold) >= size:
            return threshold
    return 0.0


def _largest_component(edges: Iterable[tuple[int, int]]) -> int:
    component: dict[int, set[int]] = {}
    for a, b in edges:
        one, other = component.setdefault(a, {a}), component.setdefault(b, {b})
        if one is not other:
            one |= other
            component.update(dict.fromkeys(other, one))
    return max((len(members) for members in component.values()), default=0)


def linked_pairwise(links: Rows, slots: tuple[int, ...]) -> bool:
    """Whether every two of the set are joined by NVLink."""
    found = pairs(links)
    return all(found[pair][1] for pair in combinations(sorted(slots), 2))
