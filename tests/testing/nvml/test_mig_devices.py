"""MIG devices, the processes on them, and what resets and reboots of the simulated side leave of their handles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pynvml
import pytest

from partita_plugins.backends.simulated import (
    SimulatedBackend,
    open_existing,
)
from tests.testing.nvml.conftest import Starter, make_instance


def test_a_pending_mode_is_current_after_the_reset(started: Starter) -> None:
    backend = open_existing(started("dgx-a100-40").state)
    uuid, gpu = backend.gpu_uuids()[0], pynvml.nvmlDeviceGetHandleByIndex(0)
    assert pynvml.nvmlDeviceSetMigMode(gpu, 1) == pynvml.NVML_ERROR_RESET_REQUIRED
    assert pynvml.nvmlDeviceGetMigMode(gpu) == [0, 1]
    backend.reset(uuid)
    assert pynvml.nvmlDeviceGetMigMode(gpu) == [1, 1]


def test_handles_of_instances_end_with_a_reboot(backend: SimulatedBackend, uuid: str, gpu: Any) -> None:
    instance_id = make_instance(backend, uuid)
    instance = pynvml.nvmlDeviceGetGpuInstanceById(gpu, instance_id)
    mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, 4)
    assert pynvml.nvmlDeviceGetGpuInstanceId(mig) == instance_id
    backend.reboot()
    calls: list[Callable[[], Any]] = [
        lambda: pynvml.nvmlGpuInstanceGetInfo(instance),
        lambda: pynvml.nvmlDeviceGetMemoryInfo(mig),
        lambda: pynvml.nvmlDeviceGetComputeInstanceId(mig),
    ]
    for stale in calls:
        with pytest.raises(pynvml.NVMLError_InvalidArgument):
            stale()
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetGpuInstanceById(gpu, instance_id)


def test_mig_devices_stand_at_their_placement_with_holes_between(
    backend: SimulatedBackend, uuid: str, gpu: Any
) -> None:
    make_instance(backend, uuid)
    mig_uuid = backend.gpu_instances(uuid)[0].compute_instances[0].mig_uuid
    found: dict[int, str] = {}
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            found[index] = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index))
        except pynvml.NVMLError_NotFound:
            continue
    assert found == {4: mig_uuid}
    by_uuid = pynvml.nvmlDeviceGetHandleByUUID(mig_uuid)
    assert pynvml.nvmlDeviceIsMigDeviceHandle(by_uuid).value == 1
    assert pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(by_uuid)) == uuid
    assert pynvml.nvmlDeviceGetMemoryInfo(by_uuid).total == 40448 * 2**20


def test_clients_are_processes_with_a_name(backend: SimulatedBackend, uuid: str, gpu: Any) -> None:
    backend.start_client(uuid, "monitor")
    instance_id = _instance_beside_a_client(backend, uuid)
    backend.start_client(uuid, "träiner", instance_id)
    found = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(gpu)
    expected = {(one.pid, one.name, one.gpu_instance_id) for one in backend.processes(uuid)}
    assert {
        (one.pid, pynvml.nvmlSystemGetProcessName(one.pid), _or_none(one.gpuInstanceId)) for one in found
    } == expected
    assert {one.usedGpuMemory for one in found} == {None}
    (on_mig,) = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, 4))
    assert pynvml.nvmlSystemGetProcessName(on_mig.pid) == "träiner"


def _instance_beside_a_client(backend: SimulatedBackend, uuid: str) -> int:
    backend.stop_client(uuid, "monitor")
    instance_id = make_instance(backend, uuid)
    backend.start_client(uuid, "monitor")
    return instance_id


def _or_none(instance_id: int) -> int | None:
    return None if instance_id == pynvml.NVML_GPU_INSTANCE_ID_ANY else instance_id
