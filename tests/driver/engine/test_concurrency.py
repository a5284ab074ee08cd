"""Many claims at once, joined calls, and GPUs that hang."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from partita_driver.engine.locks import Flights
from partita_driver.engine.lost_journal.recall import Recalled
from partita_driver.fault_points import hooked
from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import Delays, GpuLost
from partita_plugins.contracts import Look, ValidationResult, ValidationTarget
from partita_plugins.errors import BackendError, NvmlCode, PartitaError, Retryable
from partita_plugins.model.instances import GpuInstance
from partita_plugins.model.mig import Placement
from partita_plugins.validators.reference import ReferenceValidator
from tests.driver.engine.nodes import DEADLINES, Node, claim, result
from tests.waiting import WAIT_SECONDS, until

CREATE_SECONDS = 0.05


def test_28_partitions_on_4_gpus_are_made_4_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each GPU makes one at a time, and none goes on before all four are at it: with one lock nobody would."""
    node = Node(tmp_path, deadlines=replace(DEADLINES, call_seconds=60.0, lock_seconds=60.0), validate=False)
    wanted = [claim(node.mig(slot, "1g", start)) for start in range(7) for slot in range(4)]
    all_four, create = threading.Barrier(4, timeout=50), node.backend.create_gpu_instance

    def together(gpu_uuid: str, profile_id: int, placement: Placement) -> GpuInstance:
        all_four.wait()
        return create(gpu_uuid, profile_id, placement)

    monkeypatch.setattr(node.backend, "create_gpu_instance", together)
    with ThreadPoolExecutor(28) as pool:
        list(pool.map(node.engine.prepare, wanted))
    assert len(node.placements()) == 28


def test_a_second_prepare_of_a_claim_joins_the_first(tmp_path: Path) -> None:
    node = Node(tmp_path, delays=Delays(create_seconds=CREATE_SECONDS))
    wanted = claim(node.mig(0, "3g", 4))
    before = node.journal.sequence
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _n: node.engine.prepare(wanted), range(5)))
    assert all(answer == answers[0] for answer in answers)
    assert len(node.placements()) == 1
    assert node.journal.sequence - before == 2


def test_unprepare_waits_for_the_prepare_of_its_claim(tmp_path: Path) -> None:
    node = Node(tmp_path, delays=Delays(create_seconds=CREATE_SECONDS))
    wanted = claim(node.mig(0, "3g", 4))
    thread = threading.Thread(target=node.engine.prepare, args=(wanted,))
    thread.start()
    while not node.engine.claims():
        time.sleep(0.002)
    node.engine.unprepare(wanted.metadata.uid)
    thread.join()
    assert node.placements() == []
    assert dict(node.engine.claims()) == {}


def test_unprepare_waits_for_a_prepare_that_waits_for_the_api_server_itself(tmp_path: Path) -> None:
    """Both waiting for the same answer, the Unprepare could run first."""
    asked, answers = threading.Event(), threading.Event()

    def recall() -> Recalled:
        asked.set()
        assert answers.wait(WAIT_SECONDS)
        return Recalled()

    node = Node(tmp_path, deadlines=replace(DEADLINES, lock_seconds=0.2), recall=recall)
    wanted = claim(node.mig(0, "3g", 4))
    with ThreadPoolExecutor(1) as pool:
        prepared = pool.submit(node.engine.prepare, wanted)
        assert asked.wait(WAIT_SECONDS)
        try:
            with pytest.raises(Retryable, match=f"prepare of claim {wanted.metadata.uid} is still in progress"):
                node.engine.unprepare(wanted.metadata.uid)
        finally:
            answers.set()
        prepared.result(WAIT_SECONDS)
    node.engine.unprepare(wanted.metadata.uid)
    assert dict(node.engine.claims()) == {}


def test_a_prepare_in_the_middle_of_an_unprepare_makes_its_devices_anew(tmp_path: Path) -> None:
    node = Node(tmp_path, delays=Delays(destroy_seconds=CREATE_SECONDS))
    wanted = claim(node.mig(0, "3g", 4))
    (before,) = node.engine.prepare(wanted)
    undoing = threading.Event()

    def hook(point: str) -> None:
        if point == "undo-intended":
            undoing.set()

    with hooked(hook), ThreadPoolExecutor(1) as pool:
        taken_back = pool.submit(node.engine.unprepare, wanted.metadata.uid)
        assert undoing.wait(WAIT_SECONDS)
        (after,) = node.engine.prepare(wanted)
        taken_back.result(WAIT_SECONDS)
    assert after.uuid != before.uuid
    assert list(node.engine.prepared()) == [wanted.metadata.uid]
    assert len(node.placements()) == len(node.cdi_files()) == 1


def test_claims_for_the_same_place_at_once_have_one_winner(tmp_path: Path) -> None:
    node = Node(tmp_path, delays=Delays(create_seconds=0.01))
    wanted = [claim(name) for name in (node.mig(0, "3g", 4), node.mig(0, "1g", 5), node.whole(0), node.shared(0)) * 3]

    def attempt(one: object) -> bool:
        try:
            node.engine.prepare(one)  # type: ignore[arg-type]
        except PartitaError:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        won = [one for one, good in zip(wanted, pool.map(attempt, wanted), strict=True) if good]
    kinds = {node.engine.prepared()[one.metadata.uid].devices[0].kind for one in won}
    assert len(kinds) == 1
    assert len(won) == 1 or kinds == {"shared"}


def test_a_client_is_not_handed_a_shared_gpu_whose_validation_could_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path)
    uuids = [f"b5a8e0c4-0000-4000-8000-00000000000{n}" for n in range(2)]
    first, second = (claim(result(node.shared(0), shareID=uuid)) for uuid in uuids)
    validations: list[str] = []
    done, original, remove = threading.Event(), node.engine._tools.validator, node.engine._tools.cdi.remove
    assert original

    def fail_once(target: ValidationTarget, look: Look) -> ValidationResult:
        validations.append(look.depth)
        if len(validations) == 1:
            raise BackendError(NvmlCode.NOT_READY, "not ready")
        return ReferenceValidator(node.backend).validate(target, look)

    def remove_after_the_second(uid: str) -> None:
        if uid == first.metadata.uid:
            done.wait(WAIT_SECONDS)
        remove(uid)

    monkeypatch.setattr(original, "validate", fail_once)
    monkeypatch.setattr(node.engine._tools.cdi, "remove", remove_after_the_second)
    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(node.engine.prepare, first)
        while not validations:
            time.sleep(0.002)
        (device,) = node.engine.prepare(second)
        done.set()
        assert isinstance(failed.exception(), Retryable)
    assert device.validation
    assert device.validation.depth == "full"


def test_gpus_are_locked_in_one_order_whatever_was_discovered_last(tmp_path: Path) -> None:
    node = Node(tmp_path)
    tools, pair = node.engine._tools, (node.gpu_uuid(0), node.gpu_uuid(1))
    orders: list[list[str]] = []

    @contextmanager
    def watched(gpu_uuids: list[str], _deadline: float) -> Iterator[None]:
        orders.append(list(gpu_uuids))
        yield

    tools.locks.hold = watched  # type: ignore[assignment]
    for lost in (*pair, ""):
        planted = [node.backend.faults.plant(GpuLost(gpu_uuid=lost))] if lost else []
        tools.refresh()
        with tools.lock(pair):
            pass
        for one in planted:
            node.backend.faults.lift(one)
    assert orders[0] == orders[1] == orders[2]


def test_changes_of_one_gpu_go_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, delays=Delays(create_seconds=0.01, destroy_seconds=0.01), validate=False)
    busy: Counter[str] = Counter()
    crowds: list[int] = []

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(gpu_uuid: str, *args: Any, **kwargs: Any) -> Any:
            busy[gpu_uuid] += 1
            crowds.append(busy[gpu_uuid])
            try:
                return original(gpu_uuid, *args, **kwargs)
            finally:
                busy[gpu_uuid] -= 1

        return call

    for name in ("set_mig_mode", "create_gpu_instance", "create_compute_instance", "destroy_gpu_instance"):
        monkeypatch.setattr(node.backend, name, watched(getattr(node.backend, name)))
    wanted = [claim(node.mig(0, "1g", start)) for start in range(7)]
    with ThreadPoolExecutor(7) as pool:
        list(pool.map(node.engine.prepare, wanted))
        list(pool.map(lambda one: node.engine.unprepare(one.metadata.uid), wanted))
    assert max(crowds) == 1
    assert not node.mig_enabled(0)


def waiting_for(event: Any) -> int:
    """How many threads wait."""
    return len(event._cond._waiters)


def test_joined_calls_are_one_call_and_share_its_failure() -> None:
    flights, gate, calls = Flights(), threading.Event(), 0

    def act() -> int:
        nonlocal calls
        calls += 1
        gate.wait(WAIT_SECONDS)
        raise Retryable("no")

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(flights.run, "uid", "prepare", act, WAIT_SECONDS) for _ in range(4)]
        until(lambda: "uid" in flights._lines and waiting_for(flights._lines["uid"][0].landed) == len(futures) - 1)
        gate.set()
        assert all(isinstance(future.exception(), Retryable) for future in futures)
    assert calls == 1


@pytest.mark.parametrize("verbs", [("prepare", "unprepare", "prepare"), ("unprepare", "prepare", "unprepare")])
def test_a_call_joins_none_that_another_one_came_after(verbs: tuple[str, ...]) -> None:
    """The last word counts: joined to the first call, the third would have been answered before the second."""
    flights, gate, done = Flights(), threading.Event(), list[str]()

    def act(verb: str) -> None:
        gate.wait(WAIT_SECONDS)
        done.append(verb)

    def in_line(number: int) -> bool:
        return len(flights._lines.get("uid", ())) == number

    with ThreadPoolExecutor(3) as pool:
        for number, verb in enumerate(verbs, start=1):
            pool.submit(flights.run, "uid", verb, partial(act, verb), WAIT_SECONDS)
            until(partial(in_line, number))
        gate.set()
    assert tuple(done) == verbs
    assert not flights.busy


def test_a_call_whose_turn_does_not_come_leaves_it_to_the_next() -> None:
    flights, gate, done = Flights(), threading.Event(), list[str]()
    with ThreadPoolExecutor(2) as pool:
        pool.submit(flights.run, "uid", "prepare", lambda: gate.wait(WAIT_SECONDS), WAIT_SECONDS)
        until(lambda: flights.busy)
        with pytest.raises(Retryable, match="prepare of claim uid is still in progress"):
            flights.run("uid", "unprepare", lambda: done.append("unprepare"), 0.0)
        later = pool.submit(flights.run, "uid", "mend", lambda: done.append("mend"), WAIT_SECONDS)
        until(lambda: len(flights._lines["uid"]) == 2)
        gate.set()
        later.result(WAIT_SECONDS)
    assert done == ["mend"]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_threads_and_files_stay_flat_over_many_claims(tmp_path: Path) -> None:
    node = Node(tmp_path, validate=False)

    def cycle() -> None:
        held = claim(node.mig(0, "3g", 4))
        node.engine.prepare(held)
        node.engine.unprepare(held.metadata.uid)

    cycle()
    files, threads = open_files(), threading.active_count()
    for _ in range(30):
        cycle()
    # What others in this process open is soon closed.
    until(lambda: open_files() <= files and threading.active_count() <= threads)


def test_reconciling_leaves_alone_what_is_prepared_anew_while_it_undoes_the_rest(node: Node) -> None:
    first, second = claim(node.mig(0, "3g", 4)), claim(node.mig(1, "3g", 4))
    for slot, one in enumerate((first, second)):
        node.engine.prepare(one)
        lost = node.backend.faults.plant(GpuLost(gpu_uuid=node.gpu_uuid(slot)))
        node.engine.unprepare(one.metadata.uid)
        node.backend.faults.lift(lost)
    for fault in node.engine.faults():
        node.engine._tools.quarantine.lift(fault)
    assert {one.state for one in node.engine.claims().values()} == {ClaimState.UNDOING}

    again = [second]

    def prepare_again(point: str) -> None:
        if point == "forgotten" and again:
            node.engine.prepare(again.pop())

    with hooked(prepare_again):
        node.engine.reconcile()
    assert list(node.engine.prepared()) == [second.metadata.uid]
    assert node.placements() == [(1, Placement(4, 4))]


def test_a_claim_that_is_allocated_anew_while_the_api_says_it_is_gone_stays(node: Node) -> None:
    before = claim(node.mig(0, "3g", 4))
    after = claim(node.mig(1, "3g", 4), uid=before.metadata.uid)
    node.engine.prepare(before)

    def holds(*_claim: str) -> bool:
        node.engine.unprepare(before.metadata.uid)
        node.engine.prepare(after)
        return False

    assert node.engine.reconcile_claims(holds) == ()
    assert node.placements() == [(1, Placement(4, 4))]
