"""Links among the GPUs of a node: bandwidth of a set, islands, and their spelling in device attributes.

The matrices travel as two short strings per GPU, one cell per slot, so that a reader of the slices knows every pair:
NVLink counts ("-,1,1,2") and PCIe levels, one letter each ("-XSS").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import networkx as nx

from partita_plugins.model.gpu import GpuLink, NodeHardware, PcieLevel

PCIE_LETTERS = {
    PcieLevel.SINGLE_SWITCH: "P",
    PcieLevel.MULTIPLE_SWITCHES: "X",
    PcieLevel.HOST_BRIDGE: "B",
    PcieLevel.NUMA_NODE: "N",
    PcieLevel.SYSTEM: "S",
}
PCIE_LEVELS = {letter: level for level, letter in PCIE_LETTERS.items()}

# Unidirectional GB/s that a pair without NVLink can count on (x16 Gen4, halved where switches or sockets are shared).
PCIE_GBPS = {
    PcieLevel.SINGLE_SWITCH: 24.0,
    PcieLevel.MULTIPLE_SWITCHES: 20.0,
    PcieLevel.HOST_BRIDGE: 16.0,
    PcieLevel.NUMA_NODE: 12.0,
    PcieLevel.SYSTEM: 8.0,
}


@dataclass(frozen=True, slots=True)
class Topology:
    """Pairwise links among GPUs known by slot."""

    links: dict[tuple[int, int], tuple[int, PcieLevel]]
    """(a, b) with a < b to (NVLinks, PCIe level). A missing pair is on different sockets without NVLink."""

    nvlink_gbps: int

    @classmethod
    def of(cls, hardware: NodeHardware, slots: tuple[int, ...]) -> Topology:
        """The links of a node whose GPU number i has slot slots[i]."""
        return cls(
            {_key(slots[link.a], slots[link.b]): (link.nvlinks, link.pcie) for link in hardware.links},
            hardware.nvlink_gbps,
        )

    def link(self, a: int, b: int) -> tuple[int, PcieLevel]:
        return self.links.get(_key(a, b), (0, PcieLevel.SYSTEM))

    def bandwidth_gbps(self, a: int, b: int) -> float:
        """Unidirectional GB/s between two slots: NVLink where there is one, else PCIe."""
        nvlinks, pcie = self.link(a, b)
        return float(nvlinks * self.nvlink_gbps) if nvlinks else PCIE_GBPS[pcie]

    def set_bandwidth_gbps(self, slots: tuple[int, ...]) -> float:
        """GB/s of the set's weakest hop over its best spanning tree; 0 for fewer than two GPUs."""
        if len(slots) < 2:
            return 0.0
        graph: nx.Graph[int] = nx.Graph()
        graph.add_weighted_edges_from((a, b, self.bandwidth_gbps(a, b)) for a, b in combinations(slots, 2))
        tree = nx.maximum_spanning_tree(graph)
        return min(float(edge["weight"]) for _, _, edge in tree.edges(data=True))

    def islands(self, slots: tuple[int, ...]) -> dict[int, int]:
        """Slot to island (named by its lowest slot): greatest sets in which every pair has an NVLink.

        Disjoint: the greatest clique first, lowest slots on a tie. Slots without a linked partner are absent.
        """
        graph: nx.Graph[int] = nx.Graph()
        graph.add_edges_from(pair for pair in combinations(sorted(slots), 2) if self.link(*pair)[0])
        islands: dict[int, int] = {}
        while graph.number_of_edges():
            best = min(nx.find_cliques(graph), key=lambda clique: (-len(clique), sorted(clique)))
            islands.update(dict.fromkeys(best, min(best)))
            graph.remove_nodes_from(best)
        return islands


def _key(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def links_from_matrix(rows: tuple[str, ...]) -> tuple[GpuLink, ...]:
    """Read the GPU block of `nvidia-smi topo -m`: one string of blank-separated cells per GPU ("X NV12 SYS")."""
    cells = [row.split() for row in rows]
    return tuple(
        GpuLink(a=a, b=b, nvlinks=_nvlinks(cells[a][b]), pcie=_pcie(cells[a][b]))
        for a, b in combinations(range(len(cells)), 2)
    )


def _nvlinks(cell: str) -> int:
    return int(cell[2:].split("/", maxsplit=1)[0]) if cell.startswith("NV") else 0


def _pcie(cell: str) -> PcieLevel:
    """The level of "PIX"; for a linked pair the level may follow a slash ("NV12/NODE")."""
    level = cell.partition("/")[2] if cell.startswith("NV") else cell
    return PcieLevel(level or "SYS")
