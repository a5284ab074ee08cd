"""The links among the GPUs of a node, as its slices tell them."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

from partita_plugins.contracts import NodeState
from partita_plugins.model.topology import PCIE_GBPS, PCIE_LEVELS

Rows = tuple[tuple[int, tuple[int, ...], str, int], ...]
"""Slot, NVLinks to each slot, PCIe letters to each slot, GB/s of one NVLink; hashable, equal for equal machines."""

DEFAULT_GBPS = min(PCIE_GBPS.values())
"""Of a pair that nothing is known about."""


def rows(state: NodeState) -> Rows:
    """The links of a node, by slot."""
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


def linked_pairwise(links: Rows, slots: tuple[int, ...]) -> bool:
    """Whether every two of the set are joined by NVLink."""
    found = pairs(links)
    return all(found[pair][1] for pair in combinations(sorted(slots), 2))


def slot_list(slots: tuple[int, ...]) -> str:
    """ "GPU 4", "GPUs 4 and 5", "GPUs 0, 1, 2 and 3"."""
    if len(slots) == 1:
        return f"GPU {slots[0]}"
    return f"GPUs {', '.join(map(str, slots[:-1]))} and {slots[-1]}"


Matrix = tuple[tuple[float, ...], ...]
"""GB/s between every two GPUs of a machine, by place; 0 on the diagonal."""


@lru_cache(maxsize=512)
def matrix(links: Rows) -> Matrix:
    """The same as a table. Places are those of the rows, so slots that are missing leave no gap."""
    found = pairs(links)
    slots = [row[0] for row in links]
    return tuple(tuple(found[min(a, b), max(a, b)][0] if a != b else 0.0 for b in slots) for a in slots)
