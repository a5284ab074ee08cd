"""Faults and changes of the simulated side are events of NVML, once each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pynvml
import pytest

from partita_plugins.backends.simulated import (
    Fault,
    GpuLost,
    SelfReport,
    SimulatedBackend,
    Xid,
)
from tests.testing.nvml.conftest import make_instance
from tests.waiting import WAIT_SECONDS

ALL_EVENTS = (
    pynvml.nvmlEventTypeXidCriticalError
    | pynvml.nvmlEventTypeDoubleBitEccError
    | pynvml.nvmlEventMigConfigChange
    | pynvml.nvmlEventTypeGpuRecoveryAction
)


@pytest.fixture
def watching(gpu: Any) -> Any:
    """An event set on the first GPU."""
    events = pynvml.nvmlEventSetCreate()
    pynvml.nvmlDeviceRegisterEvents(gpu, ALL_EVENTS, events)
    return events


@pytest.mark.parametrize(
    ("fault", "event", "data"),
    [
        (lambda uuid: Xid(gpu_uuid=uuid, xid=48), pynvml.nvmlEventTypeXidCriticalError, 48),
        (lambda uuid: GpuLost(gpu_uuid=uuid), pynvml.nvmlEventTypeXidCriticalError, 79),
        (lambda uuid: SelfReport(gpu_uuid=uuid, report="ecc"), pynvml.nvmlEventTypeDoubleBitEccError, 0),
        (
            lambda uuid: SelfReport(gpu_uuid=uuid, report="recovery-reboot"),
            pynvml.nvmlEventTypeGpuRecoveryAction,
            pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT,
        ),
    ],
)
def test_a_planted_fault_is_an_event_once(
    backend: SimulatedBackend, watching: Any, fault: Any, event: int, data: int
) -> None:
    planted: Fault = fault(backend.gpu_uuids()[0])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pynvml.nvmlEventSetWait_v2, watching, 60_000)
        backend.faults.plant(planted)
        told = waiting.result(WAIT_SECONDS)
    assert (told.eventType, told.eventData) == (event, data)
    assert (told.gpuInstanceId, told.computeInstanceId) == (pynvml.NVML_GPU_INSTANCE_ID_ANY, 0xFFFFFFFF)
    with pytest.raises(pynvml.NVMLError_Timeout):
        pynvml.nvmlEventSetWait_v2(watching, 0)


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        (lambda uuid: Xid(gpu_uuid=uuid, xid=94, start=5), pynvml.nvmlEventTypeXidCriticalError),
        (lambda uuid: SelfReport(gpu_uuid=uuid, report="ecc", start=5), pynvml.nvmlEventTypeDoubleBitEccError),
    ],
)
def test_an_event_names_the_instance_it_concerns(
    backend: SimulatedBackend, watching: Any, fault: Any, event: int
) -> None:
    uuid = backend.gpu_uuids()[0]
    instance_id = make_instance(backend, uuid)
    assert pynvml.nvmlEventSetWait_v2(watching, 0).eventType == pynvml.nvmlEventMigConfigChange
    backend.faults.plant(fault(uuid))
    told = pynvml.nvmlEventSetWait_v2(watching, 0)
    assert (told.eventType, told.gpuInstanceId, told.computeInstanceId) == (event, instance_id, 0)


def test_what_was_there_before_is_no_event(backend: SimulatedBackend, uuid: str, gpu: Any) -> None:
    backend.faults.plant(Xid(gpu_uuid=uuid, xid=48))
    events = pynvml.nvmlEventSetCreate()
    pynvml.nvmlDeviceRegisterEvents(gpu, ALL_EVENTS, events)
    with pytest.raises(pynvml.NVMLError_Timeout):
        pynvml.nvmlEventSetWait_v2(events, 0)
    pynvml.nvmlEventSetFree(events)
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlEventSetWait_v2(events, 0)
