"""GPUs that hang: what waits for them, and what does not."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from partita_driver.hardware.workers import Hung, Workers
from partita_driver.health.faults import HUNG
from partita_plugins.backends.simulated import HungCall
from partita_plugins.errors import PartitaError, Permanent, Retryable
from partita_plugins.model.mig import Placement
from tests.driver.engine.nodes import QUICK, Node, claim
from tests.waiting import WAIT_SECONDS, until


def test_a_hung_call_quarantines_one_gpu_and_holds_up_no_other(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=QUICK)
    planted = node.backend.faults.plant(HungCall(gpu_uuid=node.gpu_uuid(0), call="create_gpu_instance"))
    wanted = claim(node.mig(0, "3g", 4))
    with pytest.raises(Hung, match="did not come back"):
        node.engine.prepare(wanted)
    assert [(fault.gpu_uuid, fault.reason) for fault in node.engine.faults()] == [(node.gpu_uuid(0), HUNG)]
    assert [fault.reason for fault in node.told] == [HUNG]
    node.engine.prepare(claim(node.mig(1, "3g", 4)))
    with pytest.raises(Permanent, match="quarantined"):
        node.engine.prepare(claim(node.mig(0, "1g", 0)))
    node.engine.unprepare(wanted.metadata.uid)
    assert list(node.engine.hung()) == [node.gpu_uuid(0)]
    node.backend.faults.lift(planted)
    while node.engine.hung():
        time.sleep(0.01)
    # The call took effect after it had been given up: what it made is still known as the claim's.
    node.engine.reconcile()
    assert wanted.metadata.uid not in node.engine.claims()
    assert [slot for slot, _placement in node.placements()] == [1]
    assert node.engine.revalidate(node.engine.faults()[0])
    node.engine.prepare(wanted)


def test_a_replay_on_a_gpu_that_hangs_leaves_the_running_pods_partition_alone(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=QUICK)
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare(wanted)
    planted = node.backend.faults.plant(HungCall(gpu_uuid=node.gpu_uuid(0), call="device_nodes"))
    for _ in range(2):  # the first hangs itself, the second is refused because the first is still out
        with pytest.raises(PartitaError):
            node.engine.prepare(wanted)
    node.backend.faults.lift(planted)
    while node.engine.hung():
        time.sleep(0.01)
    node.engine.reconcile()
    assert wanted.metadata.uid in node.engine.prepared()
    assert node.placements() == [(0, Placement(4, 4))]


def test_what_a_hung_call_left_is_undone_before_its_gpu_is_validated_again(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=QUICK)
    planted = node.backend.faults.plant(HungCall(gpu_uuid=node.gpu_uuid(0), call="create_gpu_instance"))
    wanted = claim(node.mig(0, "3g", 4))
    with pytest.raises(Hung, match="did not come back"):
        node.engine.prepare(wanted)
    node.backend.faults.lift(planted)
    while node.engine.hung():
        time.sleep(0.01)
    assert node.engine.revalidate(node.engine.faults()[0])
    assert not node.engine.claims()
    assert not node.placements()


def test_a_hung_call_costs_one_thread_however_often_it_is_tried(tmp_path: Path) -> None:
    workers, gate = Workers(), threading.Event()
    with pytest.raises(Hung):
        workers.call("GPU-1", "call", lambda: gate.wait(WAIT_SECONDS), 0.05)
    threads = threading.active_count()
    for _ in range(20):
        with pytest.raises(Hung, match="still hangs"):
            workers.call("GPU-1", "call", lambda: gate.wait(WAIT_SECONDS), 0.05)
    assert threading.active_count() <= threads
    assert workers.call("GPU-2", "call", lambda: 7, WAIT_SECONDS) == 7
    gate.set()
    while workers.hung():
        time.sleep(0.005)
    assert workers.call("GPU-1", "call", lambda: 8, WAIT_SECONDS) == 8


def test_a_driver_that_stops_begins_nothing_and_writes_nothing_while_a_call_is_at_work(tmp_path: Path) -> None:
    node = Node(tmp_path, validate=False)
    kept = claim(node.mig(1, "3g", 4))
    node.engine.prepare(kept)
    planted = node.backend.faults.plant(HungCall(gpu_uuid=node.gpu_uuid(0), call="create_gpu_instance"))
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(node.engine.prepare, claim(node.mig(0, "3g", 4)))
        while len(node.engine.claims()) < 2:
            time.sleep(0.002)
        written = node.journal.sequence
        assert not node.engine.close(0.05)
        with pytest.raises(Retryable, match="the driver stops"):
            node.engine.unprepare(kept.metadata.uid)
        node.backend.faults.lift(planted)
        assert isinstance(working.exception(), Retryable)
    assert node.journal.sequence == written
    assert node.engine.close(1.0)


def test_a_gpu_hangs_until_the_last_of_its_calls_is_back() -> None:
    workers, gates = Workers(), [threading.Event(), threading.Event()]
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(workers.call, "gpu", f"call-{n}", gate.wait, 0.3) for n, gate in enumerate(gates)]
        assert all(isinstance(call.exception(), Hung) for call in calls)
    gates[0].set()
    until(lambda: [job.name for job in workers._out["gpu"]] == ["call-1"])
    assert workers.hung() == {"gpu": "call-1"}
    with pytest.raises(Hung, match="call-1 still hangs"):
        workers.call("gpu", "call-2", lambda: None, WAIT_SECONDS)
    gates[1].set()
    while workers.hung():
        time.sleep(0.005)
    assert workers.call("gpu", "call-3", lambda: True, WAIT_SECONDS)
