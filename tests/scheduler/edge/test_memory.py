"""Collection beside the answers."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from partita_scheduler import memory
from partita_scheduler.memory import Collector


class Knot:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.myself = self


@pytest.fixture(autouse=True)
def collection_as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_new_cycles_are_freed_and_survivors_are_not_looked_at_again() -> None:
    knot = weakref.ref(Knot())
    Collector().step()
    assert knot() is None
    assert gc.get_freeze_count() > 0


def test_a_cycle_that_died_after_it_was_set_aside_goes_with_the_full_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "STEPS_PER_FULL", 3)
    collector, kept = Collector(), Knot()
    knot = weakref.ref(kept)
    collector.step()
    del kept
    collector.step()
    assert knot() is not None
    collector.step()
    assert knot() is None


def test_it_is_given_back_to_the_interpreter_at_the_end() -> None:
    stopping = threading.Event()
    stopping.set()
    Collector().run(stopping)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
