"""What NVML tells of a machine, as the JSON that the C library reads: all from the catalog. Pure."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

from partita_plugins.backends import catalog
from partita_plugins.backends.catalog.parts import Part
from partita_plugins.backends.simulated.machine import MINOR_SETS, SimulatedMachine
from partita_plugins.backends.simulated.rules import ALL_MEDIA_ENUMS, INSTANCE_IDS, NO_MEDIA_ENUMS
from partita_plugins.model.gpu import Architecture, Fabric, FabricState, Gpu, MigSupport
from partita_plugins.model.mig import MigProfile
from partita_plugins.model.xids import MENDED_BY_REBOOT, MENDED_BY_RESET
from partita_plugins.testing.nvml.links import ancestors, nvlinks

VENDOR = 0x10DE

# nvml.h: nvmlDeviceArchitecture_t, nvmlNvlinkVersion_t; then the raw megabytes per second of one link (what
# `nvidia-smi nvlink -s` shows), the PCIe generation.
GENERATIONS = {
    Architecture.VOLTA: (5, 2, 25781, 3),
    Architecture.TURING: (6, 3, 25781, 3),
    Architecture.AMPERE: (7, 4, 25781, 4),
    Architecture.ADA: (8, 0, 0, 4),
    Architecture.HOPPER: (9, 6, 26562, 5),
    Architecture.BLACKWELL: (10, 7, 53125, 5),
}

# As nvmlGpuRecoveryAction_t numbers them: what the driver asks for after each XID.
GPU_RESET, NODE_REBOOT = 1, 2
XID_ACTIONS = {
    **{str(xid): GPU_RESET for xid in MENDED_BY_RESET},
    **{str(xid): NODE_REBOOT for xid in MENDED_BY_REBOOT},
}

BRAND_TESLA, BRAND_NVIDIA = 2, 14
CORES_OF_MULTIPROCESSOR = {"7.0": 64, "7.5": 64, "8.0": 64}  # all later ones: 128

# As nvmlGpuFabricState_t numbers them; then the status of a GPU that its fabric has refused.
FABRIC_STATES = {FabricState.NOT_STARTED: 1, FabricState.IN_PROGRESS: 2, FabricState.COMPLETED: 3}
STATUS_UNKNOWN = 999


def inventory(machine: SimulatedMachine) -> dict[str, Any]:
    """The whole machine. What changes (modes, instances, faults) is not in it: that is the state folder's."""
    hardware = machine.hardware
    major, minor = (int(part) for part in hardware.cuda_version.split("."))
    part = catalog.part(machine.record.machine)
    return {
        "driver_version": hardware.driver_version,
        "nvml_version": f"{major}.{hardware.driver_version}",
        "cuda_version": major * 1000 + minor * 10,
        "xid_actions": XID_ACTIONS,
        "minor_sets": MINOR_SETS,
        "minor_step": len(hardware.gpus) if machine.record.shuffle_minors else 0,
        "gpus": [_gpu(machine, part, index) for index in range(len(hardware.gpus))],
    }


def _gpu(machine: SimulatedMachine, part: Part, index: int) -> dict[str, Any]:
    gpu = machine.hardware.gpus[index]
    architecture, nvlink_version, nvlink_mbps, pcie_generation = GENERATIONS[gpu.architecture]
    identity = uuid.UUID(gpu.uuid.removeprefix("GPU-"))
    return {
        "uuid": gpu.uuid,
        "pci": {"bus_id": gpu.pci_bus_id, "device_id": part.pci_device_id << 16 | VENDOR, "subsystem_id": 0},
        "minor": machine.first_minor(index),
        "product": gpu.product,
        "serial": f"{identity.int % 10**13:013}",
        "architecture": architecture,
        "brand": BRAND_TESLA if gpu.product.startswith("Tesla") else BRAND_NVIDIA,
        "compute_capability": gpu.compute_capability,
        "memory_mib": gpu.memory_mib,
        "cores": gpu.multiprocessors * CORES_OF_MULTIPROCESSOR.get(gpu.compute_capability, 128),
        "module_id": index + 1,
        "board_id": int(gpu.pci_bus_id.replace(":", "").replace(".", ""), 16) >> 4,
        "multi_gpu_board": 0,
        "persistence_mode": 1,
        "numa_node": gpu.numa_node,
        "pcie_generation": pcie_generation,
        "pcie_width": 16,
        "ancestors": ancestors(machine.hardware, index),
        "nvlinks": nvlinks(machine.hardware, index),
        "nvlink_version": nvlink_version,
        "nvlink_mbps": nvlink_mbps,
        "fabric": None if gpu.fabric is None else _fabric(gpu.fabric),
        "mig": None if gpu.mig is None else _mig(gpu, gpu.mig, part),
    }


def _fabric(fabric: Fabric) -> dict[str, Any]:
    return {
        "state": FABRIC_STATES[fabric.state],
        "status": STATUS_UNKNOWN if fabric.failed else 0,
        "cluster_uuid": fabric.cluster_uuid,
        "clique_id": fabric.clique_id,
    }


def _mig(gpu: Gpu, mig: MigSupport, part: Part) -> dict[str, Any]:
    board = max(profile.compute_slices for profile in mig.profiles)
    return {
        "mode_needs_reset": mig.mode_needs_reset,
        "max_devices": board,
        "unit": gpu.mig.geometry.unit if gpu.mig else 1,
        "profiles": [_profile(profile, part, INSTANCE_IDS[board][profile.compute_slices]) for profile in mig.profiles],
    }


def _profile(profile: MigProfile, part: Part, instance_ids: tuple[int, ...]) -> dict[str, Any]:
    return {
        "id": profile.profile_id,
        "enum": profile.enum,
        "name": profile.name,
        "slices": profile.compute_slices,
        "memory_mib": profile.memory_mib,
        "multiprocessors": profile.multiprocessors,
        "max_instances": profile.max_instances,
        "size": profile.size,
        "starts": list(profile.starts),
        "graphics": profile.graphics,
        "media": "all" if profile.enum in ALL_MEDIA_ENUMS else "none" if profile.enum in NO_MEDIA_ENUMS else "some",
        "engines": asdict(part.engines[profile.enum]),
        "instance_ids": list(instance_ids),
    }
