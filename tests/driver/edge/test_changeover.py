"""Two instances of the driver in one process: which calls count, and who is registered, while they change over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from partita_driver.kubelet.claims import Prepared
from partita_driver.opening.options import Options, StateLock
from partita_driver.running.handover import ComingEngine, Handover
from partita_plugins.errors import Retryable
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.waiting import WAIT_SECONDS, eventually

CLAIM = ResourceClaim()


class SlowEngine:
    """Holds a Prepare up until told to go on, as threads may; an Unprepare finds nothing."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def prepare_read(self, claim_uid: str, read: Callable[[], ResourceClaim]) -> Sequence[Prepared]:
        self.entered.set()
        assert self.go_on.wait(WAIT_SECONDS)
        read()
        return ()

    def unprepare(self, claim_uid: str) -> None:
        pass


def test_a_prepare_that_waited_longer_than_the_unprepare_of_its_claim_does_nothing() -> None:
    engine, coming = SlowEngine(), ComingEngine()
    coming.come(engine)
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(coming.prepare_read, "uid-1", lambda: CLAIM)
        assert engine.entered.wait(WAIT_SECONDS)
        coming.unprepare("uid-1")
        engine.entered.clear()
        other = pool.submit(coming.prepare_read, "uid-2", lambda: CLAIM)
        assert engine.entered.wait(WAIT_SECONDS)
        engine.go_on.set()
        with pytest.raises(Retryable, match="Unprepare"):
            late.result(WAIT_SECONDS)
        other.result(WAIT_SECONDS)
    coming.prepare_read("uid-1", lambda: CLAIM)


def instance(state_dir: Path, pod_uid: str, stopping: threading.Event) -> Handover:
    return Handover(Options(node_name="n", state_dir=state_dir, pod_uid=pod_uid), stopping)


def test_an_instance_that_the_kubelet_registers_again_while_it_leaves_still_waits_for_its_successor(
    tmp_path: Path,
) -> None:
    stop, called = threading.Event(), threading.Event()
    old, new = instance(tmp_path, "a", threading.Event()), instance(tmp_path, "b", stop)
    assert old.take_over(lambda: None)
    old.arrive()
    with ThreadPoolExecutor(3) as pool:
        pool.submit(new.take_over, called.set)
        registered, standby = StateLock(tmp_path, "registered"), StateLock(tmp_path, "standby")
        try:
            assert eventually(lambda: not free(standby))
            leaving = pool.submit(old.leave)
            assert called.wait(WAIT_SECONDS), "the old one has given up its turn"
            old.arrive()
            assert not leaving.done()
            pool.submit(new.arrive).result(WAIT_SECONDS)
            leaving.result(WAIT_SECONDS)
            old.release()
            assert not free(registered), "the new one is"
        finally:
            stop.set()
            for one in (old, new):
                one.release()


def test_a_newcomer_is_registered_though_somebody_looked_at_that_very_moment(tmp_path: Path) -> None:
    registered = StateLock(tmp_path, "registered")
    assert registered.try_acquire()

    class Patient(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            registered.release()
            return super().wait(timeout)

    new = instance(tmp_path, "b", Patient())
    new.arrive()
    registered.release()
    assert not free(registered)
    new.arrive()
    new.release()
    assert free(registered)


def free(lock: StateLock) -> bool:
    taken = lock.try_acquire()
    lock.release()
    return taken
