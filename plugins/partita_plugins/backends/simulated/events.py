"""Health events as edges: each fault that a GPU reports is told once to each feed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from partita_plugins.backends.simulated.faults import FaultFolder, event_of
from partita_plugins.model.health import HealthEvent

EVENT_POLL_SECONDS = 0.05


class EventFeed:
    """Events since the feed was opened. A fault planted before is no news, as with NVML: ask `health` for it."""

    def __init__(
        self,
        faults: FaultFolder,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._faults = faults
        self._sleep, self._clock = sleep, clock
        self._told = set(faults.all())
        self._lock = threading.Lock()

    def step(self) -> tuple[HealthEvent, ...]:
        """What is new now. A fault that was planted and lifted between two steps is missed."""
        with self._lock:
            planted = self._faults.all()
            new = [fault for fault_id, fault in planted.items() if fault_id not in self._told]
            self._told = set(planted)
        return tuple(event for fault in new if (event := event_of(fault)))

    def wait(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        """What is new, waiting at most that long for the first."""
        deadline = self._clock() + timeout_seconds
        while not (events := self.step()):
            left = deadline - self._clock()
            if left <= 0:
                return ()
            self._sleep(min(left, EVENT_POLL_SECONDS))
        return events
