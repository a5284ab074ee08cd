"""pynvml over the C library tells of every machine what the catalog says."""

from __future__ import annotations

import ctypes
from typing import Any

import pynvml
import pytest

from partita_plugins.backends import catalog
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.mig import MigProfile, Placement
from tests.testing.nvml.conftest import Starter

MIG_MACHINES = [name for name in catalog.names() if catalog.machine(name).gpus[0].mig]


def _handles() -> list[Any]:
    return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]


def _placements(handle: Any, profile_id: int) -> tuple[Placement, ...]:
    count = ctypes.c_uint()
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(handle, profile_id, None, ctypes.byref(count))
    array = (pynvml.c_nvmlGpuInstancePlacement_t * count.value)()
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(handle, profile_id, array, ctypes.byref(count))
    return tuple(Placement(one.start, one.size) for one in array)


@pytest.mark.parametrize("machine", catalog.names())
def test_every_gpu_is_the_catalogs(started: Starter, machine: str) -> None:
    hardware = started(machine).machine.hardware
    assert pynvml.nvmlSystemGetDriverVersion() == hardware.driver_version
    major, minor = hardware.cuda_version.split(".")
    assert pynvml.nvmlSystemGetCudaDriverVersion() == int(major) * 1000 + int(minor) * 10
    for handle, gpu in zip(_handles(), hardware.gpus, strict=True):
        assert pynvml.nvmlDeviceGetUUID(handle) == gpu.uuid
        assert pynvml.nvmlDeviceGetName(handle) == gpu.product
        assert pynvml.nvmlDeviceGetPciInfo(handle).busId.lower().removeprefix("0000") == gpu.pci_bus_id
        assert pynvml.nvmlDeviceGetMinorNumber(handle) == gpu.minor
        assert pynvml.nvmlDeviceGetMemoryInfo(handle).total == gpu.memory_mib * 2**20
        capability = ".".join(map(str, pynvml.nvmlDeviceGetCudaComputeCapability(handle)))
        assert capability == gpu.compute_capability
        assert getattr(pynvml, f"NVML_DEVICE_ARCH_{gpu.architecture.upper()}") == pynvml.nvmlDeviceGetArchitecture(
            handle
        )


@pytest.mark.parametrize("machine", catalog.names())
def test_a_gpu_is_found_by_each_of_its_names(started: Starter, machine: str) -> None:
    started(machine)
    for handle in _handles():
        uuid, bus_id = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetPciInfo(handle).busId
        found = [
            pynvml.nvmlDeviceGetHandleByUUID(uuid),
            pynvml.nvmlDeviceGetHandleByPciBusId(bus_id),
            pynvml.nvmlDeviceGetHandleByPciBusId(bus_id[4:].lower()),
            pynvml.nvmlDeviceGetHandleBySerial(pynvml.nvmlDeviceGetSerial(handle)),
        ]
        assert [pynvml.nvmlDeviceGetUUID(one) for one in found] == [uuid] * 4


@pytest.mark.parametrize("machine", MIG_MACHINES)
def test_profiles_and_placements_are_the_catalogs_while_mig_is_off(started: Starter, machine: str) -> None:
    gpu = started(machine).machine.hardware.gpus[0]
    handle = _handles()[0]
    assert pynvml.nvmlDeviceGetMigMode(handle) == [0, 0]
    assert gpu.mig is not None
    told = [_told(handle, number) for number in range(pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT)]
    assert [one for one in told if one] == sorted((_expected(profile) for profile in gpu.mig.profiles), key=_by_enum)
    for profile in gpu.mig.profiles:
        assert _placements(handle, profile.profile_id) == profile.placements


@pytest.mark.parametrize("machine", sorted(set(catalog.names()) - set(MIG_MACHINES)))
def test_without_mig_all_of_it_is_not_supported(started: Starter, machine: str) -> None:
    started(machine)
    handle = _handles()[0]
    for call in (
        lambda: pynvml.nvmlDeviceGetMigMode(handle),
        lambda: pynvml.nvmlDeviceSetMigMode(handle, 1),
        lambda: pynvml.nvmlDeviceGetGpuInstanceProfileInfo(handle, 0),
        lambda: _placements(handle, 19),
    ):
        with pytest.raises(pynvml.NVMLError_NotSupported):
            call()
    assert pynvml.nvmlDeviceGetMaxMigDeviceCount(handle) == 0


Told = tuple[int, int, str, int, int, int, int]


def _by_enum(one: Told) -> int:
    return one[0]


def _expected(profile: MigProfile) -> Told:
    return (
        profile.enum,
        profile.profile_id,
        f"MIG {profile.name}",
        profile.compute_slices,
        profile.memory_mib,
        profile.multiprocessors,
        profile.max_instances,
    )


def _told(handle: Any, number: int) -> Told | None:
    try:
        info = pynvml.nvmlDeviceGetGpuInstanceProfileInfo(handle, number, version=2)
    except pynvml.NVMLError_NotSupported:
        return None
    return (
        number,
        info.id,
        info.name,
        info.sliceCount,
        info.memorySizeMB,
        info.multiprocessorCount,
        info.instanceCount,
    )


@pytest.mark.parametrize("machine", MIG_MACHINES)
def test_engines_are_told_for_every_profile(started: Starter, machine: str) -> None:
    gpu: Gpu = started(machine).machine.hardware.gpus[0]
    part = catalog.part(machine)
    assert gpu.mig is not None
    for profile in gpu.mig.profiles:
        info = pynvml.nvmlDeviceGetGpuInstanceProfileInfo(_handles()[0], profile.enum)
        engines = part.engines[profile.enum]
        assert (info.copyEngineCount, info.decoderCount) == (engines.copy, engines.decoder)
        assert (info.encoderCount, info.jpegCount, info.ofaCount) == (engines.encoder, engines.jpeg, engines.ofa)
