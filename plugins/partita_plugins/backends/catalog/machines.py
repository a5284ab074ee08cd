"""Machines as data: which GPUs, at which PCI addresses, on which NUMA nodes, how linked.

PCI addresses and roots are typical of the machine; where no listing was found they are plausible and so marked.
"""

from __future__ import annotations

from dataclasses import dataclass

from partita_plugins.backends.catalog import ada, ampere, blackwell, hopper, matrices, volta
from partita_plugins.backends.catalog.parts import Part
from partita_plugins.model.gpu import Fabric, FabricState


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One kind of GPU server."""

    part: Part
    buses: tuple[str, ...]
    """PCI domain and bus of each GPU, in NVML's order; device and function are 00.0."""

    roots: tuple[str, ...]
    """PCIe root complex above each GPU, domain and bus."""

    numa_nodes: tuple[int, ...]
    matrix: tuple[str, ...]
    nvlink_gbps: int = 0
    """Unidirectional, of one link."""

    fabric: Fabric | None = None
    """Of every GPU; None where there is no NVSwitch, or the generation does not tell."""


WITHIN_NODE = Fabric(state=FabricState.COMPLETED)
RACK = Fabric(
    state=FabricState.COMPLETED,
    cluster_uuid="5f3d7a52-1f0c-5b0e-9d0a-6c2f6f1c7e10",
    clique_id=32766,  # as seen on NVL72
)
"""All trays of the catalog stand in one rack."""

TWO_SOCKETS = (0, 0, 0, 0, 1, 1, 1, 1)
HGX_BUSES = ("0000:1b", "0000:43", "0000:52", "0000:61", "0000:9d", "0000:c3", "0000:d1", "0000:df")
DGX_2_BUSES = "34 36 39 3b 57 59 5c 5e b7 b9 bc be e0 e2 e5 e7"
DGX_A100_BUSES = ("0000:07", "0000:0f", "0000:47", "0000:4e", "0000:87", "0000:90", "0000:b7", "0000:bd")


def _each(*roots: str, gpus: int = 2) -> tuple[str, ...]:
    """Every root for so many GPUs in a row."""
    return tuple(root for root in roots for _ in range(gpus))


def _dgx_a100(part: Part) -> Machine:
    return Machine(
        part=part,
        buses=DGX_A100_BUSES,
        roots=_each("0000:00", "0000:40", "0000:80", "0000:b0"),
        numa_nodes=(3, 3, 1, 1, 7, 7, 5, 5),
        matrix=matrices.DGX_A100,
        nvlink_gbps=25,
    )


def _hgx_h100(part: Part) -> Machine:
    return Machine(
        part=part,
        buses=HGX_BUSES,
        roots=("0000:15", "0000:37", "0000:48", "0000:59", "0000:97", "0000:b7", "0000:c7", "0000:d7"),
        numa_nodes=TWO_SOCKETS,
        matrix=matrices.HGX_H100,
        nvlink_gbps=25,
        fabric=WITHIN_NODE,
    )


MACHINES = {
    "dgx-1v": Machine(
        part=volta.V100_SXM2_32GB,
        buses=("0000:06", "0000:07", "0000:0a", "0000:0b", "0000:85", "0000:86", "0000:89", "0000:8a"),
        roots=_each("0000:00", "0000:00", "0000:80", "0000:80"),
        numa_nodes=TWO_SOCKETS,
        matrix=matrices.DGX_1V,
        nvlink_gbps=25,
    ),
    "dgx-2": Machine(
        part=volta.V100_SXM3_32GB,
        buses=tuple(f"0000:{bus}" for bus in DGX_2_BUSES.split()),
        roots=_each("0000:32", "0000:55", "0000:b5", "0000:de", gpus=4),  # inferred
        numa_nodes=(*[0] * 8, *[1] * 8),
        matrix=matrices.DGX_2,
        nvlink_gbps=25,
    ),
    "dgx-a100-40": _dgx_a100(ampere.A100_SXM4_40GB),
    "dgx-a100-80": _dgx_a100(ampere.A100_SXM4_80GB),
    "hgx-h100": _hgx_h100(hopper.H100_80GB),
    "hgx-h200": _hgx_h100(hopper.H200_141GB),
    "hgx-b200": Machine(
        part=blackwell.B200_180GB,
        buses=HGX_BUSES,
        roots=_each("0000:15", "0000:48", "0000:97", "0000:c7"),  # inferred
        numa_nodes=TWO_SOCKETS,
        matrix=matrices.HGX_B200,
        nvlink_gbps=50,
        fabric=WITHIN_NODE,
    ),
    "a30-x4": Machine(
        part=ampere.A30,
        buses=("0000:17", "0000:65", "0000:ca", "0000:e3"),  # inferred
        roots=("0000:16", "0000:64", "0000:c9", "0000:e2"),  # inferred
        numa_nodes=(0, 0, 1, 1),
        matrix=matrices.TWO_SOCKETS_X4,
    ),
    "a100-pcie-x8": Machine(
        part=ampere.A100_PCIE_80GB,
        buses=("0000:1a", "0000:3d", "0000:5e", "0000:88", "0000:9b", "0000:b1", "0000:ca", "0000:e2"),  # inferred
        roots=("0000:17", "0000:3a", "0000:5b", "0000:85", "0000:98", "0000:ae", "0000:c7", "0000:df"),  # inferred
        numa_nodes=(0, 0, 0, 1, 1, 1, 1, 1),
        matrix=matrices.BRIDGED_PAIRS,
        nvlink_gbps=25,
    ),
    "l40s-x8": Machine(
        part=ada.L40S,
        buses=("0000:01", "0000:21", "0000:41", "0000:61", "0000:81", "0000:a1", "0000:c1", "0000:e1"),  # inferred
        roots=("0000:00", "0000:20", "0000:40", "0000:60", "0000:80", "0000:a0", "0000:c0", "0000:e0"),  # inferred
        numa_nodes=TWO_SOCKETS,
        matrix=matrices.TWO_SOCKETS_X8,
    ),
    "rtx-pro-6000-x8": Machine(
        part=blackwell.RTX_PRO_6000,
        buses=("0000:03", "0000:04", "0000:63", "0000:64", "0000:83", "0000:84", "0000:e3", "0000:e4"),  # inferred
        roots=_each("0000:00", "0000:80", gpus=4),  # inferred
        numa_nodes=TWO_SOCKETS,
        matrix=matrices.SWITCHED_PAIRS_X8,
    ),
    "gb200-tray": Machine(
        part=blackwell.GB200_186GB,
        buses=("0008:01", "0009:01", "0018:01", "0019:01"),
        roots=("0008:00", "0009:00", "0018:00", "0019:00"),
        numa_nodes=(0, 0, 1, 1),
        matrix=matrices.GB200_TRAY,
        nvlink_gbps=50,
        fabric=RACK,
    ),
}
