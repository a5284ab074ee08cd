"""How GPUs reach each other, as pynvml tells it of every machine: PCIe levels, NVLinks, switches, fabric."""

from __future__ import annotations

import ctypes
import uuid
from collections import Counter
from typing import Any

import pynvml
import pytest

from partita_plugins.backends import catalog
from partita_plugins.model.gpu import FabricState, NodeHardware, PcieLevel
from tests.testing.nvml.conftest import Starter

LEVELS = {
    PcieLevel.SINGLE_SWITCH: pynvml.NVML_TOPOLOGY_SINGLE,
    PcieLevel.MULTIPLE_SWITCHES: pynvml.NVML_TOPOLOGY_MULTIPLE,
    PcieLevel.HOST_BRIDGE: pynvml.NVML_TOPOLOGY_HOSTBRIDGE,
    PcieLevel.NUMA_NODE: pynvml.NVML_TOPOLOGY_NODE,
    PcieLevel.SYSTEM: pynvml.NVML_TOPOLOGY_SYSTEM,
}
DIRECT = ("dgx-1v", "a100-pcie-x8")
"""Machines with NVLinks and no switch."""


def _started(start: Starter, machine: str) -> tuple[NodeHardware, list[Any]]:
    hardware = start(machine).machine.hardware
    return hardware, [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(len(hardware.gpus))]


def _remotes(handle: Any) -> list[tuple[int, str]]:
    """Kind and address of the other end of each link."""
    found = []
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        try:
            assert pynvml.nvmlDeviceGetNvLinkState(handle, link) == pynvml.NVML_FEATURE_ENABLED
        except (pynvml.NVMLError_InvalidArgument, pynvml.NVMLError_NotSupported):
            break
        pci = pynvml.nvmlDeviceGetNvLinkRemotePciInfo(handle, link)
        found.append((pynvml.nvmlDeviceGetNvLinkRemoteDeviceType(handle, link), pci.busId))
    return found


@pytest.mark.parametrize("machine", catalog.names())
def test_pcie_levels_are_the_catalogs(started: Starter, machine: str) -> None:
    hardware, handles = _started(started, machine)
    for link in hardware.links:
        for a, b in ((link.a, link.b), (link.b, link.a)):
            assert pynvml.nvmlDeviceGetTopologyCommonAncestor(handles[a], handles[b]) == LEVELS[link.pcie]


@pytest.mark.parametrize("machine", catalog.names())
def test_nvlinks_are_the_catalogs(started: Starter, machine: str) -> None:
    hardware, handles = _started(started, machine)
    remotes = [_remotes(handle) for handle in handles]
    addresses = [pynvml.nvmlDeviceGetPciInfo(handle).busId for handle in handles]
    for link in hardware.links:
        counts = Counter(remotes[link.a])
        switched = sum(count for (kind, _), count in counts.items() if kind == pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH)
        assert (switched > 0) == (link.nvlinks > 0 and machine not in DIRECT)
        assert link.nvlinks == (switched or counts[pynvml.NVML_NVLINK_DEVICE_TYPE_GPU, addresses[link.b]])
        status = pynvml.nvmlDeviceGetP2PStatus(handles[link.a], handles[link.b], pynvml.NVML_P2P_CAPS_INDEX_NVLINK)
        assert (status == pynvml.NVML_P2P_STATUS_OK) == (link.nvlinks > 0)
    for handle, found in zip(handles, remotes, strict=True):
        assert _field(handle, pynvml.NVML_FI_DEV_NVLINK_LINK_COUNT) == (len(found) or None)


def _field(handle: Any, field: int) -> int | None:
    (value,) = pynvml.nvmlDeviceGetFieldValues(handle, [field])
    return int(value.value.uiVal) if value.nvmlReturn == pynvml.NVML_SUCCESS else None


@pytest.mark.parametrize("machine", catalog.names())
def test_the_fabric_is_the_catalogs(started: Starter, machine: str) -> None:
    hardware, handles = _started(started, machine)
    for gpu, handle in zip(hardware.gpus, handles, strict=True):
        info = pynvml.c_nvmlGpuFabricInfo_v3_t()
        if gpu.fabric is None:
            with pytest.raises(pynvml.NVMLError_NotSupported):
                pynvml.nvmlDeviceGetGpuFabricInfoV(handle, ctypes.byref(info))
            continue
        pynvml.nvmlDeviceGetGpuFabricInfoV(handle, ctypes.byref(info))
        cluster = uuid.UUID(gpu.fabric.cluster_uuid) if gpu.fabric.cluster_uuid else uuid.UUID(int=0)
        assert (info.state == pynvml.NVML_GPU_FABRIC_STATE_COMPLETED) == (gpu.fabric.state is FabricState.COMPLETED)
        assert (bytes(info.clusterUuid), info.cliqueId) == (cluster.bytes, gpu.fabric.clique_id)


def test_numa_nodes_are_the_catalogs(started: Starter) -> None:
    hardware, handles = _started(started, "dgx-a100-40")
    for gpu, handle in zip(hardware.gpus, handles, strict=True):
        (word,) = pynvml.nvmlDeviceGetMemoryAffinity(handle, 1, pynvml.NVML_AFFINITY_SCOPE_NODE)
        assert word == 1 << (gpu.numa_node or 0)
