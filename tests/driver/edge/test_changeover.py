"""Two instances of the driver in one process: which calls count, and who is registered, while they change over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from partita_driver.claims import Prepared
from partita_driver.handover import ComingEngine
from partita_plugins.errors import Retryable
from partita_plugins.wire.resource import ResourceClaim

CLAIM = ResourceClaim()


class SlowEngine:
    """Holds a Prepare up until told to go on, as threads may; an Unprepare finds nothing."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def prepare_read(self, claim_uid: str, read: Callable[[], ResourceClaim]) -> Sequence[Prepared]:
        self.entered.set()
        assert self.go_on.wait(10)
        read()
        return ()

    def unprepare(self, claim_uid: str) -> None:
        pass


def test_a_prepare_that_waited_longer_than_the_unprepare_of_its_claim_does_nothing() -> None:
    engine, coming = SlowEngine(), ComingEngine()
    coming.come(engine)
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(coming.prepare_read, "uid-1", lambda: CLAIM)
        assert engine.entered.wait(10)
        coming.unprepare("uid-1")
        engine.entered.clear()
        other = pool.submit(coming.prepare_read, "uid-2", lambda: CLAIM)
        assert engine.entered.wait(10)
        engine.go_on.set()
        with pytest.raises(Retryable, match="Unprepare"):
            late.result(10)
        other.result(10)
    coming.prepare_read("uid-1", lambda: CLAIM)
