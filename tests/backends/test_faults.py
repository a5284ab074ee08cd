"""Planted faults do what broken hardware does, to whom it concerns and nobody else."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from partita_plugins.backends.simulated import (
    GpuLost,
    HungCall,
    MissingMultiprocessor,
    SelfReport,
    SimulatedBackend,
    StuckBit,
    WrongMemorySize,
    Xid,
)
from partita_plugins.errors import BackendError, InvalidInput, NvmlCode
from partita_plugins.model.instances import GpuInstance
from partita_plugins.model.mig import Placement
from tests.backends.conftest import Opener


@pytest.fixture
def node(opened: Opener) -> SimulatedBackend:
    return opened()


@pytest.fixture
def gpu_uuid(node: SimulatedBackend) -> str:
    return node.discover().gpus[2].uuid


@pytest.fixture
def halves(node: SimulatedBackend, gpu_uuid: str) -> list[GpuInstance]:
    """The GPU cut into two 3g."""
    node.set_mig_mode(gpu_uuid, enabled=True)
    for start in (0, 4):
        made = node.create_gpu_instance(gpu_uuid, 9, Placement(start, 4))
        node.create_compute_instance(gpu_uuid, made.gpu_instance_id)
    return sorted(node.gpu_instances(gpu_uuid), key=lambda one: one.placement)


def test_a_lost_gpu_answers_nothing_and_is_not_discovered(node: SimulatedBackend, gpu_uuid: str) -> None:
    fault_id = node.faults.plant(GpuLost(gpu_uuid=gpu_uuid))
    hardware = node.discover()
    assert gpu_uuid not in {gpu.uuid for gpu in hardware.gpus}
    assert {(link.a, link.b) for link in hardware.links} == {(a, b) for b in range(7) for a in range(b)}
    with pytest.raises(BackendError) as caught:
        node.gpu_instances(gpu_uuid)
    assert caught.value.code is NvmlCode.GPU_IS_LOST
    assert [event.kind for event in node.health(gpu_uuid)] == ["gpu-lost"]
    node.faults.lift(fault_id)
    assert len(node.discover().gpus) == 8
    assert node.health(gpu_uuid) == ()


def test_the_links_of_a_lost_gpu_go_with_it(opened: Opener) -> None:
    """DGX-1V without GPU 3: what was 4-7 is now 3-6, with its two NVLinks."""
    node = opened("dgx-1v")
    node.faults.plant(GpuLost(gpu_uuid=node.discover().gpus[3].uuid))
    links = {(link.a, link.b): link.nvlinks for link in node.discover().links}
    assert (links[0, 3], links[3, 6], links[0, 4]) == (2, 2, 0)


def test_an_event_is_told_once_and_health_goes_on_telling(
    opened: Opener, node: SimulatedBackend, gpu_uuid: str
) -> None:
    node.faults.plant(StuckBit(gpu_uuid=gpu_uuid, word=0, bit=0))
    opened().faults.plant(Xid(gpu_uuid=gpu_uuid, xid=79))
    assert [(event.kind, event.xid) for event in node.wait_events(1.0)] == [("xid", 79)]
    assert node.wait_events(0.0) == ()
    assert [event.xid for event in node.health(gpu_uuid)] == [79]
    later = opened()
    assert later.wait_events(0.0) == ()
    assert [event.xid for event in later.health(gpu_uuid)] == [79]


def test_what_waits_for_a_reset_is_reported_until_there_is_one(node: SimulatedBackend, gpu_uuid: str) -> None:
    node.faults.plant(SelfReport(gpu_uuid=gpu_uuid, report="remap-pending", start=3))
    node.faults.plant(SelfReport(gpu_uuid=gpu_uuid, report="recovery-reboot"))
    node.faults.plant(SelfReport(gpu_uuid=gpu_uuid, report="remap-failed"))
    reported = {event.kind: event.placements for event in node.health(gpu_uuid)}
    assert reported == {"remap-pending": (Placement(3, 1),), "recovery-reboot": (), "remap-failed": ()}
    node.reset(node.discover().gpus[0].uuid)
    assert len(node.health(gpu_uuid)) == 3
    node.reset(gpu_uuid)
    assert {event.kind for event in node.health(gpu_uuid)} == {"recovery-reboot", "remap-failed"}
    node.reboot()
    assert [event.kind for event in node.health(gpu_uuid)] == ["remap-failed"]


def test_an_xid_of_an_instance_names_its_part(node: SimulatedBackend, gpu_uuid: str) -> None:
    node.faults.plant(Xid(gpu_uuid=gpu_uuid, xid=94, start=4, size=4))
    (event,) = node.wait_events(0.0)
    assert (event.xid, event.placements) == (94, (Placement(4, 4),))


def test_waiting_ends_with_the_first_event(opened: Opener, node: SimulatedBackend, gpu_uuid: str) -> None:
    planted = threading.Timer(0.1, lambda: opened().faults.plant(Xid(gpu_uuid=gpu_uuid, xid=48)))
    planted.start()
    assert [event.xid for event in node.wait_events(30.0)] == [48]
    planted.join()


def test_a_hung_call_comes_back_when_the_fault_is_lifted(node: SimulatedBackend, gpu_uuid: str) -> None:
    fault_id = node.faults.plant(HungCall(gpu_uuid=gpu_uuid, call="set_mig_mode"))
    done = threading.Event()

    def switch() -> None:
        node.set_mig_mode(gpu_uuid, enabled=True)
        done.set()

    thread = threading.Thread(target=switch)
    thread.start()
    try:
        assert not done.wait(0.3)
        assert node.gpu_instances(gpu_uuid) == ()  # other calls and GPUs go on
        node.set_mig_mode(node.discover().gpus[0].uuid, enabled=True)
    finally:
        node.faults.lift(fault_id)
        thread.join()
    assert done.is_set()


def test_a_stuck_bit_belongs_to_one_slice(node: SimulatedBackend, gpu_uuid: str, halves: list[GpuInstance]) -> None:
    per_slice = 2**14 // 8
    node.faults.plant(StuckBit(gpu_uuid=gpu_uuid, word=4 * per_slice + 5, bit=7))
    lower, upper = (node.open_memory(gpu_uuid, half) for half in halves)
    for memory in (lower, upper):
        memory.write(0, np.zeros(memory.words, dtype=np.uint32))
    assert not lower.read(0, lower.words).any()
    seen = upper.read(0, upper.words)
    assert {int(index): int(seen[index]) for index in np.flatnonzero(seen)} == {5: 1 << 7}


def test_a_bit_stuck_at_zero_reads_zero(node: SimulatedBackend, gpu_uuid: str) -> None:
    node.faults.plant(StuckBit(gpu_uuid=gpu_uuid, word=9, bit=31, value=0))
    memory = node.open_memory(gpu_uuid, None)
    memory.write(8, np.full(3, 0xFFFFFFFF, dtype=np.uint32))
    assert [int(word) for word in memory.read(8, 3)] == [0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF]


def test_instances_do_not_see_memory_outside_their_slices(
    node: SimulatedBackend, gpu_uuid: str, halves: list[GpuInstance]
) -> None:
    lower, upper = (node.open_memory(gpu_uuid, half) for half in halves)
    lower.write(0, np.full(lower.words, 1, dtype=np.uint32))
    upper.write(0, np.full(upper.words, 2, dtype=np.uint32))
    assert set(lower.read(0, lower.words)) == {1}
    assert lower.words == upper.words == 2**13
    for offset, count in ((lower.words, 1), (-1, 1), (0, lower.words + 1)):
        with pytest.raises(BackendError) as caught:
            lower.read(offset, count)
        assert caught.value.code is NvmlCode.INVALID_ARGUMENT


def test_figures_are_short_where_the_fault_is(node: SimulatedBackend, gpu_uuid: str, halves: list[GpuInstance]) -> None:
    node.faults.plant(WrongMemorySize(gpu_uuid=gpu_uuid, missing_mib=512, memory_slice=1))
    node.faults.plant(MissingMultiprocessor(gpu_uuid=gpu_uuid, count=2, memory_slice=7))
    lower, upper = (node.open_memory(gpu_uuid, half) for half in halves)
    assert (lower.memory_mib, lower.multiprocessors) == (40448 - 512, 60)
    assert (upper.memory_mib, upper.multiprocessors) == (40448, 58)


def test_memory_opens_as_cuda_would(node: SimulatedBackend, gpu_uuid: str, halves: list[GpuInstance]) -> None:
    """Not the whole GPU while MIG is on, not an instance that is gone or has nothing to compute with."""
    with pytest.raises(BackendError, match="INVALID_STATE"):
        node.open_memory(gpu_uuid, None)
    node.destroy_compute_instance(gpu_uuid, halves[0].gpu_instance_id, 0)
    with pytest.raises(BackendError, match="NOT_FOUND"):
        node.open_memory(gpu_uuid, halves[0])
    node.destroy_gpu_instance(gpu_uuid, halves[0].gpu_instance_id)
    with pytest.raises(BackendError, match="NOT_FOUND"):
        node.device_nodes(gpu_uuid, halves[0])


def test_memory_of_a_gpu_that_is_lost_meanwhile_cannot_be_read(node: SimulatedBackend, gpu_uuid: str) -> None:
    memory = node.open_memory(gpu_uuid, None)
    node.faults.plant(GpuLost(gpu_uuid=gpu_uuid))
    with pytest.raises(BackendError, match="GPU_IS_LOST"):
        memory.read(0, 1)


def test_lifting_what_is_not_planted_names_what_is(node: SimulatedBackend, gpu_uuid: str) -> None:
    fault_id = node.faults.plant(Xid(gpu_uuid=gpu_uuid, xid=31))
    with pytest.raises(InvalidInput, match=fault_id):
        node.faults.lift("xid-nope")
    with pytest.raises(InvalidInput):
        node.faults.lift("../machine")
