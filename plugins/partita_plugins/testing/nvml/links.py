"""The links of a machine as NVML lists them: a level for each other GPU, an entry for each NVLink. Pure."""

from __future__ import annotations

from typing import Any

from partita_plugins.model.gpu import Architecture, NodeHardware, PcieLevel

# As nvmlGpuTopologyLevel_t numbers them.
SAME_GPU = 0
LEVELS = {
    PcieLevel.SINGLE_SWITCH: 10,
    PcieLevel.MULTIPLE_SWITCHES: 20,
    PcieLevel.HOST_BRIDGE: 30,
    PcieLevel.NUMA_NODE: 40,
    PcieLevel.SYSTEM: 50,
}

# As nvmlIntNvLinkDeviceType_t numbers them.
REMOTE_GPU, REMOTE_SWITCH = 0, 2

LINKS_OF_GPU = {
    Architecture.VOLTA: 6,
    Architecture.TURING: 2,
    Architecture.AMPERE: 12,
    Architecture.ADA: 0,
    Architecture.HOPPER: 18,
    Architecture.BLACKWELL: 18,
}
SWITCHES = {Architecture.VOLTA: 6, Architecture.AMPERE: 6, Architecture.HOPPER: 4, Architecture.BLACKWELL: 2}
"""That one GPU is wired to, where there are switches."""

FIRST_SWITCH_BUS = 0xC4


def ancestors(hardware: NodeHardware, index: int) -> list[int]:
    """NVML's level of the common PCIe ancestor with each GPU of the machine, in NVML's order."""
    return [
        SAME_GPU if other == index else LEVELS[_pcie(hardware, index, other)] for other in range(len(hardware.gpus))
    ]


def nvlinks(hardware: NodeHardware, index: int) -> list[dict[str, Any]]:
    """The remote end of each NVLink of a GPU: the other GPU, or the switch that stands between all of them.

    More links than a GPU has can only be the same links, shared by every pair through switches.
    """
    peers = [_nvlinks(hardware, index, other) for other in range(len(hardware.gpus))]
    architecture = hardware.gpus[index].architecture
    if sum(peers) > LINKS_OF_GPU[architecture]:
        switches = SWITCHES[architecture]
        buses = (FIRST_SWITCH_BUS + link % switches for link in range(max(peers)))
        return [{"type": REMOTE_SWITCH, "bus_id": f"0000:{bus:02x}:00.0"} for bus in buses]
    return [
        {"type": REMOTE_GPU, "bus_id": hardware.gpus[other].pci_bus_id}
        for other, count in enumerate(peers)
        for _ in range(count)
    ]


def _pcie(hardware: NodeHardware, a: int, b: int) -> PcieLevel:
    return next(link.pcie for link in hardware.links if {link.a, link.b} == {a, b})


def _nvlinks(hardware: NodeHardware, a: int, b: int) -> int:
    return sum(link.nvlinks for link in hardware.links if {link.a, link.b} == {a, b})
