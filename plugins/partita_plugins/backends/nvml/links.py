"""How the GPUs of a node reach each other: NVLinks, direct or through switches, and the PCIe level they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pynvml

from partita_plugins.backends.nvml.answers import CANNOT_TELL, NOT_THERE, fields, optional
from partita_plugins.backends.nvml.discovery import spelled
from partita_plugins.model.gpu import GpuLink, PcieLevel

LEVELS = {
    pynvml.NVML_TOPOLOGY_INTERNAL: PcieLevel.SINGLE_SWITCH,
    pynvml.NVML_TOPOLOGY_SINGLE: PcieLevel.SINGLE_SWITCH,
    pynvml.NVML_TOPOLOGY_MULTIPLE: PcieLevel.MULTIPLE_SWITCHES,
    pynvml.NVML_TOPOLOGY_HOSTBRIDGE: PcieLevel.HOST_BRIDGE,
    pynvml.NVML_TOPOLOGY_NODE: PcieLevel.NUMA_NODE,
    pynvml.NVML_TOPOLOGY_SYSTEM: PcieLevel.SYSTEM,
}

GBPS = {
    pynvml.NVML_NVLINK_VERSION_1_0: 20,
    pynvml.NVML_NVLINK_VERSION_2_0: 25,
    pynvml.NVML_NVLINK_VERSION_2_2: 25,
    pynvml.NVML_NVLINK_VERSION_3_0: 25,
    pynvml.NVML_NVLINK_VERSION_3_1: 25,
    pynvml.NVML_NVLINK_VERSION_4_0: 25,
    pynvml.NVML_NVLINK_VERSION_5_0: 50,
    pynvml.NVML_NVLINK_VERSION_6_0: 100,
}
"""Unidirectional GB/s of one link, as NVIDIA's data sheets give it. The speed that a GPU reports itself (field 164) is
the line's, a few percent above: only generations that are not listed here are known by it."""


NO_WAY = CANNOT_TELL | {pynvml.NVML_ERROR_UNKNOWN, pynvml.NVML_ERROR_GPU_IS_LOST}
"""Answers about a pair that say nothing of the rest of the node: UNKNOWN where the look at sysfs failed (nvml.h), and a
GPU that was lost in this moment takes the whole node's discovery with it no more than one lost before."""


@dataclass(frozen=True, slots=True)
class Links:
    """The active NVLinks of one GPU."""

    to_gpus: Counter[str]
    """Direct ones by the peer's PCI address."""

    to_switches: int
    gbps: int
    """Of one link; 0 where there is none."""


def read(handle: Any) -> Links:
    """The NVLinks of a GPU now. Raises NVMLError."""
    active = [link for link in range(pynvml.NVML_NVLINK_MAX_LINKS) if _active(handle, link)]
    peers = [_peer(handle, link) for link in active]
    return Links(
        to_gpus=Counter(filter(None, peers)),
        to_switches=sum(peer == "" for peer in peers),
        gbps=_gbps(handle, active[0]) if active else 0,
    )


def links(handles: Sequence[Any], addresses: Sequence[str], found: Sequence[Links]) -> tuple[GpuLink, ...]:
    """Every pair of GPUs. Through switches each GPU reaches all others, as wide as the narrower of the two."""
    pairs = combinations(range(len(handles)), 2)
    return tuple(
        GpuLink(
            a=a,
            b=b,
            nvlinks=found[a].to_gpus[addresses[b]] or min(found[a].to_switches, found[b].to_switches),
            pcie=_pcie(handles[a], handles[b]),
        )
        for a, b in pairs
    )


def _active(handle: Any, link: int) -> bool:
    try:
        return bool(pynvml.nvmlDeviceGetNvLinkState(handle, link) == pynvml.NVML_FEATURE_ENABLED)
    except pynvml.NVMLError as error:
        if error.value in NOT_THERE:
            return False
        raise


def _peer(handle: Any, link: int) -> str | None:
    """The GPU at the other end, by PCI address; empty for a switch, None where it is not told.

    Drivers that cannot tell the kind of the other end are older than NVSwitches that hide behind an address.
    """
    kind = optional(
        pynvml.nvmlDeviceGetNvLinkRemoteDeviceType, handle, link, otherwise=pynvml.NVML_NVLINK_DEVICE_TYPE_GPU
    )
    if kind != pynvml.NVML_NVLINK_DEVICE_TYPE_GPU:
        return ""
    address = optional(pynvml.nvmlDeviceGetNvLinkRemotePciInfo, handle, link, otherwise=None)
    return None if address is None else spelled(address)


def _gbps(handle: Any, link: int) -> int:
    version = optional(pynvml.nvmlDeviceGetNvLinkVersion, handle, link, otherwise=pynvml.NVML_NVLINK_VERSION_INVALID)
    if version in GBPS:
        return GBPS[version]
    return (
        fields(handle, [pynvml.NVML_FI_DEV_NVLINK_GET_SPEED], link).get(pynvml.NVML_FI_DEV_NVLINK_GET_SPEED, 0) // 1000
    )


def _pcie(a: Any, b: Any) -> PcieLevel:
    try:
        return LEVELS.get(pynvml.nvmlDeviceGetTopologyCommonAncestor(a, b), PcieLevel.SYSTEM)
    except pynvml.NVMLError as error:
        if error.value in NO_WAY:
            return PcieLevel.SYSTEM
        raise
