"""What is planted, lifted and done by hand on the simulated side is what pynvml's callers meet."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pynvml
import pytest

from partita_plugins.backends.simulated import (
    Delays,
    Fault,
    GpuLost,
    HungCall,
    SelfReport,
    SimulatedBackend,
    Xid,
    open_existing,
)
from partita_plugins.model.mig import Placement
from partita_plugins.testing.nvml import Node
from tests.testing.nvml.conftest import Starter

ALL_EVENTS = (
    pynvml.nvmlEventTypeXidCriticalError
    | pynvml.nvmlEventTypeDoubleBitEccError
    | pynvml.nvmlEventMigConfigChange
    | pynvml.nvmlEventTypeGpuRecoveryAction
)


@pytest.fixture
def backend(node: Node) -> SimulatedBackend:
    """The other side of the same machine."""
    return open_existing(node.state)


@pytest.fixture
def uuid(backend: SimulatedBackend) -> str:
    return backend.gpu_uuids()[0]


@pytest.fixture
def gpu(node: Node) -> Any:
    """The first GPU, as pynvml holds it."""
    return pynvml.nvmlDeviceGetHandleByIndex(0)


def _instance(backend: SimulatedBackend, uuid: str) -> int:
    """A 3g at 4 with its compute instance; the GPU instance's id."""
    backend.set_mig_mode(uuid, enabled=True)
    made = backend.create_gpu_instance(uuid, 9, Placement(4, 4))
    backend.create_compute_instance(uuid, made.gpu_instance_id)
    return made.gpu_instance_id


def _field(handle: Any, field: int) -> int:
    (value,) = pynvml.nvmlDeviceGetFieldValues(handle, [field])
    assert value.nvmlReturn == pynvml.NVML_SUCCESS
    return int(value.value.uiVal)


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
        assert hung.result(timeout=10) == pynvml.NVML_SUCCESS


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
        assert hung.result(timeout=10).total > 0


def test_a_pending_mode_is_current_after_the_reset(started: Starter) -> None:
    backend = open_existing(started("dgx-a100-40").state)
    uuid, gpu = backend.gpu_uuids()[0], pynvml.nvmlDeviceGetHandleByIndex(0)
    assert pynvml.nvmlDeviceSetMigMode(gpu, 1) == pynvml.NVML_ERROR_RESET_REQUIRED
    assert pynvml.nvmlDeviceGetMigMode(gpu) == [0, 1]
    backend.reset(uuid)
    assert pynvml.nvmlDeviceGetMigMode(gpu) == [1, 1]


def test_handles_of_instances_end_with_a_reboot(backend: SimulatedBackend, uuid: str, gpu: Any) -> None:
    instance_id = _instance(backend, uuid)
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
    _instance(backend, uuid)
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
    _instance(backend, uuid)
    mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, 4)
    backend.faults.plant(SelfReport(gpu_uuid=uuid, report="ecc", start=1))
    assert (_errors(gpu), _errors(mig)) == (1, 0)
    backend.faults.plant(SelfReport(gpu_uuid=uuid, report="ecc", start=6))
    assert (_errors(gpu), _errors(mig)) == (2, 1)


def _errors(handle: Any) -> int:
    kind, counter = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    return int(pynvml.nvmlDeviceGetTotalEccErrors(handle, kind, counter))


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
        waiting = pool.submit(pynvml.nvmlEventSetWait_v2, watching, 10_000)
        backend.faults.plant(planted)
        told = waiting.result(timeout=20)
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
    instance_id = _instance(backend, uuid)
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
    instance_id = _instance(backend, uuid)
    backend.start_client(uuid, "monitor")
    return instance_id


def _or_none(instance_id: int) -> int | None:
    return None if instance_id == pynvml.NVML_GPU_INSTANCE_ID_ANY else instance_id


def test_slow_calls_take_their_time(started: Starter) -> None:
    node = started()
    node.machine.set_delays(Delays(create_seconds=0.3))
    pynvml.nvmlShutdown()
    pynvml.nvmlInit()
    gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(pynvml.nvmlDeviceSetMigMode, gpu, 1)
        with pytest.raises(TimeoutError):
            slow.result(timeout=0.1)
        assert slow.result(timeout=10) == pynvml.NVML_SUCCESS
