"""Faults that are planted on the simulated side are what pynvml's callers meet."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pynvml
import pytest

from partita_plugins.backends.simulated import (
    Delays,
    GpuLost,
    HungCall,
    SelfReport,
    SimulatedBackend,
    Xid,
    open_existing,
)
from tests.testing.nvml.conftest import Starter, make_instance
from tests.waiting import WAIT_SECONDS


def test_a_lost_gpu_is_lost_to_every_call_and_alone(backend: SimulatedBackend, uuid: str, gpu: Any) -> None:
    fault_id = backend.faults.plant(GpuLost(gpu_uuid=uuid))
    calls: list[Callable[[], Any]] = [
        lambda: pynvml.nvmlDeviceGetHandleByIndex(0),
        lambda: pynvml.nvmlDeviceGetHandleByUUID(uuid),
        lambda: pynvml.nvmlDeviceGetMemoryInfo(gpu),
        lambda: pynvml.nvmlDeviceSetMigMode(gpu, 1),
    ]
    for call in calls:
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            call()
    assert pynvml.nvmlDeviceGetCount() == 8
    pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(1))
    backend.faults.lift(fault_id)
    pynvml.nvmlDeviceGetMemoryInfo(gpu)


def test_a_hung_call_comes_back_when_the_fault_is_lifted(backend: SimulatedBackend, uuid: str, gpu: Any) -> None:
    fault_id = backend.faults.plant(HungCall(gpu_uuid=uuid, call="set_mig_mode"))
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(pynvml.nvmlDeviceSetMigMode, gpu, 1)
        with pytest.raises(TimeoutError):
            hung.result(timeout=0.2)
        assert pynvml.nvmlDeviceGetMigMode(gpu) == [0, 0]
        backend.faults.lift(fault_id)
        assert hung.result(WAIT_SECONDS) == pynvml.NVML_SUCCESS


def test_a_shutdown_does_not_pull_the_ground_from_a_call_in_progress(started: Starter) -> None:
    backend = open_existing(started().state)
    uuid, gpu = backend.gpu_uuids()[0], pynvml.nvmlDeviceGetHandleByIndex(0)
    fault_id = backend.faults.plant(HungCall(gpu_uuid=uuid, call="*"))
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(pynvml.nvmlDeviceGetMemoryInfo, gpu)
        with pytest.raises(TimeoutError):
            hung.result(timeout=0.1)
        pynvml.nvmlShutdown()
        pynvml.nvmlInit()
        backend.faults.lift(fault_id)
        assert hung.result(WAIT_SECONDS).total > 0


@pytest.mark.parametrize(
    ("report", "field", "value"),
    [
        ("remap-pending", pynvml.NVML_FI_DEV_REMAPPED_PENDING, 1),
        ("remap-failed", pynvml.NVML_FI_DEV_REMAPPED_FAILURE, 1),
        ("recovery-reset", pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, pynvml.NVML_GPU_RECOVERY_ACTION_GPU_RESET),
        ("recovery-reboot", pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT),
        ("recovery-drain-p2p", pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_P2P),
        (
            "recovery-drain-and-reset",
            pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION,
            pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_AND_RESET,
        ),
    ],
)
def test_self_reports_are_field_values(
    backend: SimulatedBackend, gpu: Any, report: Any, field: int, value: int
) -> None:
    assert _field(gpu, field) == 0
    backend.faults.plant(SelfReport(gpu_uuid=backend.gpu_uuids()[0], report=report))
    assert _field(gpu, field) == value


def _field(handle: Any, field: int) -> int:
    (value,) = pynvml.nvmlDeviceGetFieldValues(handle, [field])
    assert value.nvmlReturn == pynvml.NVML_SUCCESS
    return int(value.value.uiVal)


@pytest.mark.parametrize(
    ("xids", "action"),
    [
        ([48], pynvml.NVML_GPU_RECOVERY_ACTION_NONE),
        ([48, 95], pynvml.NVML_GPU_RECOVERY_ACTION_GPU_RESET),
        ([95, 79], pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT),
    ],
)
def test_the_gravest_xid_asks_for_its_recovery_action(
    backend: SimulatedBackend, gpu: Any, xids: list[int], action: int
) -> None:
    for xid in xids:
        backend.faults.plant(Xid(gpu_uuid=backend.gpu_uuids()[0], xid=xid))
    assert _field(gpu, pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION) == action


def test_remapped_rows_are_refused_while_mig_is_on(backend: SimulatedBackend, uuid: str, gpu: Any) -> None:
    backend.faults.plant(SelfReport(gpu_uuid=uuid, report="remap-pending"))
    assert pynvml.nvmlDeviceGetRemappedRows(gpu) == (0, 1, 1, 0)
    backend.set_mig_mode(uuid, enabled=True)
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetRemappedRows(gpu)


def test_memory_errors_count_on_the_mig_device_they_are_in(backend: SimulatedBackend, uuid: str, gpu: Any) -> None:
    make_instance(backend, uuid)
    mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, 4)
    backend.faults.plant(SelfReport(gpu_uuid=uuid, report="ecc", start=1))
    assert (_errors(gpu), _errors(mig)) == (1, 0)
    backend.faults.plant(SelfReport(gpu_uuid=uuid, report="ecc", start=6))
    assert (_errors(gpu), _errors(mig)) == (2, 1)


def _errors(handle: Any) -> int:
    kind, counter = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    return int(pynvml.nvmlDeviceGetTotalEccErrors(handle, kind, counter))


def test_slow_calls_take_their_time(started: Starter) -> None:
    node = started()
    node.machine.set_delays(Delays(create_seconds=0.3))
    pynvml.nvmlShutdown()
    pynvml.nvmlInit()
    gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    begun = time.monotonic()
    assert pynvml.nvmlDeviceSetMigMode(gpu, 1) == pynvml.NVML_SUCCESS
    assert time.monotonic() - begun >= 0.3
