"""The feed of events: what a GPU that hangs costs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from partita_plugins.backends.nvml import events
from partita_plugins.backends.nvml.events import EventFeed
from partita_plugins.backends.nvml.memory import Memory
from partita_plugins.backends.nvml.session import Session
from partita_plugins.errors import BackendError, NvmlCode
from tests.waiting import until

HANGS, ANSWERS = "GPU-a", "GPU-b"


class Door:
    """A session with one GPU that hangs, and one that answers; each set has a number, and an error for each wait."""

    generation = 0

    def __init__(self) -> None:
        self.released = threading.Event()
        self.registered: list[tuple[str, int]] = []
        self.asked: list[str] = []
        self.sets = 0
        self.lost = True

    def uuids(self) -> tuple[str, ...]:
        return HANGS, ANSWERS

    def at_large(self, doing: str, act: Callable[[], Any]) -> Any:
        if doing == "waiting for events" and self.lost:
            raise BackendError(NvmlCode.GPU_IS_LOST, doing)
        if doing == "making an event set":
            self.sets += 1
            return self.sets
        return None

    def on(self, gpu_uuid: str, doing: str, act: Callable[[Any], Any]) -> Any:
        self.asked.append(gpu_uuid)
        if gpu_uuid == HANGS:
            self.released.wait()
        return act(gpu_uuid)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    made = Door()

    def register(handle: str, event_set: int) -> bool:
        made.registered.append((handle, event_set))
        return True

    monkeypatch.setattr(events, "_register", register)
    monkeypatch.setattr(events, "REGISTER_SECONDS", 0.01)
    yield made
    made.released.set()


def test_a_gpu_that_hangs_costs_one_thread_however_often_the_wait_fails(door: Door, tmp_path: Path) -> None:
    feed = EventFeed(cast("Session", door), Memory(tmp_path / "memory.json", "boot"))
    until(lambda: _fails(feed) and (ANSWERS, 3) in door.registered)
    assert door.asked.count(HANGS) == 1
    door.lost = False
    door.released.set()
    until(lambda: feed.wait(0) == () and (HANGS, door.sets) in door.registered)


def _fails(feed: EventFeed) -> bool:
    """Once somebody is registered: until then there is nothing to wait for."""
    try:
        feed.wait(0)
    except BackendError as error:
        return error.code is NvmlCode.GPU_IS_LOST
    return False
