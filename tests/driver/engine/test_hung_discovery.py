"""A GPU that hangs while the node is looked at."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from partita_driver.health.faults import HUNG
from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import HungCall, SimulatedBackend
from partita_plugins.errors import BackendError, InvalidInput, NvmlCode, PartitaError, Permanent, Retryable
from tests.driver.engine.nodes import QUICK, Node, claim


def hang(node: Node, slot: int, call: str = "*") -> str:
    return node.backend.faults.plant(HungCall(gpu_uuid=node.gpu_uuid(slot), call=call))


def let_go(node: Node, planted: str) -> None:
    node.backend.faults.lift(planted)
    while node.engine.hung():
        time.sleep(0.005)


@pytest.mark.parametrize("call", ["*", "discover"])
def test_the_driver_starts_with_the_gpus_that_answer(tmp_path: Path, call: str) -> None:
    node = Node(tmp_path, deadlines=QUICK)
    first, others = node.gpu_uuid(0), [gpu.uuid for gpu in node.engine.node.hardware.gpus[1:]]
    in_use, name = claim(node.mig(0, "3g", 4)), node.whole(0)
    node.engine.prepare(in_use)
    planted = hang(node, 0, call)
    node.start()
    assert [gpu.uuid for gpu in node.engine.node.hardware.gpus] == others
    assert [(fault.gpu_uuid, fault.reason) for fault in node.engine.faults()] == [(first, HUNG)]
    node.engine.prepare(claim(node.whole(1)))
    with pytest.raises(InvalidInput, match="placed elsewhere"):
        node.engine.prepare(claim(name))
    node.engine.unprepare(in_use.metadata.uid)
    assert node.engine.claims()[in_use.metadata.uid].state is ClaimState.UNDOING
    let_go(node, planted)
    assert node.engine.refresh()
    node.engine.reconcile()
    assert in_use.metadata.uid not in node.engine.claims()
    assert node.engine.revalidate(node.engine.faults()[0])
    node.engine.prepare(claim(node.whole(0)))


def test_a_gpu_that_hangs_before_it_was_ever_seen_stays_quarantined(tmp_path: Path) -> None:
    seen = Node(tmp_path, deadlines=QUICK)
    first = seen.gpu_uuid(0)
    planted = hang(seen, 0)
    for path in (tmp_path / "journal").iterdir():
        path.unlink()
    node = Node(tmp_path, deadlines=QUICK)
    assert not node.engine.refresh()
    assert [(fault.gpu_uuid, fault.reason) for fault in node.engine.faults()] == [(first, HUNG)]
    let_go(node, planted)
    assert node.engine.refresh()
    [fault] = node.engine.faults()
    assert node.engine.revalidate(fault)


def test_a_gpu_that_begins_to_hang_stays_as_it_was_seen_and_is_quarantined(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=QUICK)
    before = node.engine.node
    planted = hang(node, 3)
    assert not node.engine.refresh()
    assert node.engine.node == before
    assert [(fault.gpu_uuid, fault.reason) for fault in node.engine.faults()] == [(node.gpu_uuid(3), HUNG)]
    with pytest.raises(Permanent, match="quarantined"):
        node.engine.prepare(claim(node.whole(3)))
    node.engine.prepare(claim(node.mig(2, "3g", 4)))
    let_go(node, planted)
    assert not node.engine.refresh()
    assert node.engine.revalidate(node.engine.faults()[0])


def test_a_gpu_that_hangs_for_long_costs_a_bounded_number_of_threads_and_little_time(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=replace(QUICK, call_seconds=1.0))
    planted = hang(node, 3)
    node.engine.refresh()
    node.engine.check_health()
    threads, began = threading.active_count(), time.monotonic()
    for _ in range(20):
        node.engine.refresh()
        node.engine.check_health()
    assert threading.active_count() <= threads
    assert time.monotonic() - began < 20 * node.deadlines.call_seconds, "what is known to hang is not waited for again"
    let_go(node, planted)


def test_a_second_hung_gpu_is_found_beside_the_first(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=QUICK)
    planted = [hang(node, 3)]
    node.engine.refresh()
    planted.append(hang(node, 5))
    node.engine.refresh()
    assert {fault.gpu_uuid for fault in node.engine.faults()} == {node.gpu_uuid(3), node.gpu_uuid(5)}
    assert len(node.engine.node.gpus) == 8
    for one in planted:
        node.backend.faults.lift(one)


@pytest.mark.parametrize(
    ("code", "raised"),
    [(NvmlCode.DRIVER_NOT_LOADED, Retryable), (NvmlCode.LIB_RM_VERSION_MISMATCH, BackendError)],
    ids=["not-loaded", "updated-while-loaded"],
)
def test_a_node_whose_nvidia_driver_is_not_loaded_yet_is_asked_again_unless_it_takes_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: NvmlCode, raised: type[PartitaError]
) -> None:
    def refused(_: SimulatedBackend) -> tuple[str, ...]:
        raise BackendError(code, "no NVML")

    node = Node(tmp_path)
    with monkeypatch.context() as early:
        early.setattr(SimulatedBackend, "gpu_uuids", refused)
        with pytest.raises(raised, match="no NVML"):
            node.start()
    assert node.start().node.gpus
