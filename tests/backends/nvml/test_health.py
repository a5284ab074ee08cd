"""What GPUs report, through NVML: states, events, losses, and calls that hang."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pynvml
import pytest

from partita_plugins.backends.nvml import NvmlBackend, health
from partita_plugins.backends.simulated import GpuLost, HungCall, SelfReport, SimulatedBackend, Xid
from partita_plugins.backends.simulated.faults import REPORTS
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.health import MIG_CHANGE
from partita_plugins.testing.contracts.answers import refused


@pytest.mark.parametrize("report", sorted(set(REPORTS) - {"ecc"}))
def test_both_backends_tell_the_same_state_of_a_gpu(
    backend: NvmlBackend, simulated: SimulatedBackend, report: str
) -> None:
    gpu, other = simulated.gpu_uuids()[:2]
    planted = simulated.faults.plant(SelfReport(gpu_uuid=gpu, report=report))  # type: ignore[arg-type]
    assert [event.kind for event in backend.health(gpu)] == [event.kind for event in simulated.health(gpu)] == [report]
    assert backend.health(other) == ()
    simulated.faults.lift(planted)
    assert backend.health(gpu) == ()


def test_counted_errors_are_wrong_where_the_driver_has_no_word_for_what_they_need(
    backend: NvmlBackend, simulated: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = simulated.gpu_uuids()[0]
    assert backend.wait_events(0.01) == ()
    simulated.faults.plant(SelfReport(gpu_uuid=gpu, report="ecc"))
    assert [event.kind for event in backend.wait_events(20)] == ["ecc"], "told once in any case"
    assert backend.health(gpu) == (), "the driver asks for nothing: they were contained"
    monkeypatch.setattr(health, "recovery_action", lambda _: None)
    assert [event.kind for event in backend.health(gpu)] == ["ecc"]


def test_an_xid_is_an_event_of_its_gpu(backend: NvmlBackend, simulated: SimulatedBackend) -> None:
    gpu = simulated.gpu_uuids()[3]
    assert backend.wait_events(0.01) == ()
    simulated.faults.plant(Xid(gpu_uuid=gpu, xid=48))
    (event,) = backend.wait_events(20)
    assert (event.gpu_uuid, event.kind, event.xid, event.placements) == (gpu, "xid", 48, ())
    assert backend.wait_events(0.01) == ()


def test_an_event_is_told_also_where_the_wait_for_the_next_one_fails(
    backend: NvmlBackend, simulated: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = simulated.gpu_uuids()[3]
    assert backend.wait_events(0.01) == ()
    simulated.faults.plant(Xid(gpu_uuid=gpu, xid=48))
    waits = iter((pynvml.nvmlEventSetWait_v2, _lost, _lost))

    def wait(*asked: Any) -> Any:
        return next(waits)(*asked)

    monkeypatch.setattr(pynvml, "nvmlEventSetWait_v2", wait)
    assert [event.xid for event in backend.wait_events(20)] == [48]
    with refused(NvmlCode.GPU_IS_LOST):
        backend.wait_events(20)


def _lost(*_: Any) -> Any:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)


def test_a_change_of_instances_is_told_and_nothing_is_wrong(backend: NvmlBackend, simulated: SimulatedBackend) -> None:
    gpu = backend.discover().gpus[0]
    assert backend.wait_events(0.01) == ()
    simulated.set_mig_mode(gpu.uuid, enabled=True)
    (event,) = backend.wait_events(20)
    assert (event.gpu_uuid, event.kind) == (gpu.uuid, MIG_CHANGE)
    assert backend.health(gpu.uuid) == ()


def test_an_xid_that_names_an_instance_concerns_its_place(backend: NvmlBackend, simulated: SimulatedBackend) -> None:
    gpu = backend.discover().gpus[0]
    assert gpu.mig is not None
    backend.set_mig_mode(gpu.uuid, enabled=True)
    three = next(profile for profile in gpu.mig.profiles if profile.short_name == "3g")
    made = backend.create_gpu_instance(gpu.uuid, three.profile_id, three.placements[1])
    backend.create_compute_instance(gpu.uuid, made.gpu_instance_id)
    assert backend.wait_events(0.01) == ()
    simulated.faults.plant(Xid(gpu_uuid=gpu.uuid, xid=94, start=made.placement.start, size=made.placement.size))
    (event,) = backend.wait_events(20)
    assert (event.xid, event.placements) == (94, (made.placement,))


def test_an_xid_of_a_driver_without_recovery_action_is_told_until_a_reset_or_a_reboot(
    restarted: Callable[[], NvmlBackend], simulated: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, other = simulated.gpu_uuids()[:2]
    energy_mj = 500
    monkeypatch.setattr(health, "recovery_action", lambda _: None)
    monkeypatch.setattr(health, "counters", lambda _: {"energy_mj": energy_mj})
    backend = restarted()
    assert backend.wait_events(0.01) == ()
    for one in (gpu, other):
        simulated.faults.plant(Xid(gpu_uuid=one, xid=62))
    while len(backend.health(gpu) + backend.health(other)) < 2:
        backend.wait_events(1)
    backend = restarted()
    assert [event.xid for event in backend.health(gpu)] == [62]
    energy_mj = 20
    assert backend.health(gpu) == ()
    energy_mj = 900
    assert [event.xid for event in backend.health(other)] == [62]
    simulated.reboot()
    assert restarted().health(other) == ()


def test_a_counter_that_a_gpu_cannot_tell_at_the_moment_has_not_gone_back(
    backend: NvmlBackend, simulated: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_data(*_: Any) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_DATA)

    gpu = simulated.gpu_uuids()[0]
    monkeypatch.setattr(health, "recovery_action", lambda _: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEccErrors", lambda *_: 2)
    assert backend.wait_events(0.01) == ()
    simulated.faults.plant(Xid(gpu_uuid=gpu, xid=62))
    assert [event.xid for event in backend.wait_events(20)] == [62]
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEccErrors", no_data)
    assert [event.xid for event in backend.health(gpu)] == [62]
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEccErrors", lambda *_: 0)
    assert [event.kind for event in backend.health(gpu)] == [], "it was reset"


def test_a_look_that_others_overtake_takes_their_counters_for_no_reset(
    backend: NvmlBackend, simulated: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = simulated.gpu_uuids()[0]
    reads = 0

    def counters(_: Any) -> dict[str, int]:
        nonlocal reads
        reads += 1
        read = reads
        if read == 2:
            backend.health(gpu)  # reads later, and is done sooner
        return {"energy_mj": 100 * read}

    monkeypatch.setattr(health, "recovery_action", lambda _: None)
    monkeypatch.setattr(health, "counters", counters)
    assert backend.wait_events(0.01) == ()
    simulated.faults.plant(Xid(gpu_uuid=gpu, xid=62))
    assert [event.xid for event in backend.wait_events(20)] == [62]
    assert [event.xid for event in backend.health(gpu)] == [62]
    assert reads == 3
    assert [event.xid for event in backend.health(gpu)] == [62]


def test_the_word_of_a_driver_with_a_recovery_action_is_taken(
    backend: NvmlBackend, simulated: SimulatedBackend
) -> None:
    gpu = simulated.gpu_uuids()[0]
    assert backend.wait_events(0.01) == ()
    simulated.faults.plant(Xid(gpu_uuid=gpu, xid=62))
    assert [event.xid for event in backend.wait_events(20)] == [62]
    assert [event.kind for event in backend.health(gpu)] == ["recovery-reset"]
    simulated.faults.plant(Xid(gpu_uuid=gpu, xid=48))
    assert [event.xid for event in backend.wait_events(20)] == [48]
    assert [event.kind for event in backend.health(gpu)] == ["recovery-reset"]


def test_a_lost_gpu_is_left_out_and_says_so(backend: NvmlBackend, simulated: SimulatedBackend) -> None:
    before = backend.discover()
    gpu = simulated.gpu_uuids()[2]
    planted = simulated.faults.plant(GpuLost(gpu_uuid=gpu))
    assert backend.gpu_uuids() == simulated.gpu_uuids()
    assert backend.discover() == before.without({gpu})
    assert [event.kind for event in backend.health(gpu)] == ["gpu-lost"]
    with refused(NvmlCode.GPU_IS_LOST):
        backend.device_nodes(gpu, None)
    simulated.faults.lift(planted)
    assert backend.discover() == before
    assert backend.health(gpu) == ()


def test_a_gpu_that_hangs_holds_up_nobody_else(backend: NvmlBackend, simulated: SimulatedBackend) -> None:
    before = backend.discover()
    gpu, other = simulated.gpu_uuids()[:2]
    planted = simulated.faults.plant(HungCall(gpu_uuid=gpu, call="*"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(backend.discover)
        assert backend.gpu_uuids() == simulated.gpu_uuids()
        assert backend.discover(without={gpu}) == before.without({gpu})
        assert backend.health(other) == ()
        assert not waiting.done()
        simulated.faults.lift(planted)
        assert waiting.result(20) == before


def test_a_gpu_that_hangs_from_the_start_is_known_and_leaves_the_others_alone(
    backend: NvmlBackend, simulated: SimulatedBackend
) -> None:
    gpu = simulated.gpu_uuids()[0]
    planted = simulated.faults.plant(HungCall(gpu_uuid=gpu, call="*"))
    found = backend.discover(without={gpu})
    assert found == simulated.machine.hardware.without({gpu})
    simulated.faults.lift(planted)


def test_events_go_on_after_nvml_was_shut_down(backend: NvmlBackend, simulated: SimulatedBackend) -> None:
    gpu = simulated.gpu_uuids()[0]
    assert backend.wait_events(0.01) == ()
    backend.close()
    assert backend.wait_events(0.01) == ()
    simulated.faults.plant(Xid(gpu_uuid=gpu, xid=79))
    assert [event.xid for event in backend.wait_events(20)] == [79]


def test_whoever_holds_a_gpu_is_named_in_the_advice(backend: NvmlBackend, simulated: SimulatedBackend) -> None:
    gpu = simulated.gpu_uuids()[0]
    simulated.start_client(gpu, "train")
    (process,) = backend.processes(gpu)
    with pytest.raises(BackendError, match=rf"stop train \(PID {process.pid}\)"):
        backend.set_mig_mode(gpu, enabled=True)


def test_an_instance_that_is_gone_or_another_one_has_no_nodes(
    backend: NvmlBackend, simulated: SimulatedBackend
) -> None:
    gpu = backend.discover().gpus[0]
    assert gpu.mig is not None
    backend.set_mig_mode(gpu.uuid, enabled=True)
    three = next(profile for profile in gpu.mig.profiles if profile.short_name == "3g")
    first = backend.create_gpu_instance(gpu.uuid, three.profile_id, three.placements[0])
    simulated.destroy_gpu_instance(gpu.uuid, first.gpu_instance_id)
    with refused(NvmlCode.NOT_FOUND):
        backend.device_nodes(gpu.uuid, first)
    second = simulated.create_gpu_instance(gpu.uuid, three.profile_id, three.placements[1])
    assert second.gpu_instance_id == first.gpu_instance_id
    with refused(NvmlCode.NOT_FOUND):
        backend.device_nodes(gpu.uuid, first)
    assert backend.device_nodes(gpu.uuid, second)
