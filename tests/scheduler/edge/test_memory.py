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


def many_and_one(number: int) -> tuple[list[object], weakref.ref[Knot]]:
    """So many objects that live, and one that only a collection frees."""
    gc.freeze()  # from here on they are counted
    alive: list[object] = [[] for _ in range(number)]
    return alive, weakref.ref(Knot())


def test_a_great_deal_at_once_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_AT_ONCE", 1000)
    gc.disable()
    alive, knot = many_and_one(2000)
    collector = Collector()
    assert collector.step() == 0
    assert knot() is not None
    assert gc.get_freeze_count() > len(alive)


def test_what_was_set_aside_unseen_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_AT_ONCE", 1000)
    monkeypatch.setattr(memory, "MOST_UNSEEN", 3000)
    gc.disable()
    collector = Collector()
    first, knot = many_and_one(2000)
    collector.step()
    assert knot() is not None
    second, _ = many_and_one(2000)
    collector.step()
    assert knot() is None
    assert len(first) == len(second)


def test_it_is_given_back_to_the_interpreter_at_the_end() -> None:
    stopping = threading.Event()
    stopping.set()
    Collector().run(stopping)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
