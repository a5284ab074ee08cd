"""The shape of every background loop: wait until due or woken, take one step, ask it when the next is due."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

ERROR_PAUSE_SECONDS = (0.5, 60.0)
"""First and longest pause after a step that raised; doubled in between."""


class Loop:
    """Calls `step` in a thread of its own. The step returns seconds until it wants to be called again.

    An exception is logged and the step tried again after a growing pause: a loop never ends by itself.
    """

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        self.step = step
        self._name = name
        self._woken = threading.Condition()
        self._due = -math.inf
        self._stopping = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self, delay_seconds: float = 0.0) -> None:
        """Let the next step come no later than after this delay."""
        with self._woken:
            self._due = min(self._due, time.monotonic() + delay_seconds)
            self._woken.notify_all()

    def stop(self, timeout_seconds: float = 2.0) -> bool:
        """Take no further step; True when the last one has ended within the time."""
        with self._woken:
            self._stopping = True
            self._woken.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while self._wait():
            self.wake(self._guarded_step())

    def _wait(self) -> bool:
        with self._woken:
            while not self._stopping and (left := self._due - time.monotonic()) > 0:
                self._woken.wait(min(left, threading.TIMEOUT_MAX))
            # A wake during the coming step is for the step after it.
            self._due = math.inf
            return not self._stopping

    def _guarded_step(self) -> float:
        try:
            pause = self.step()
        except Exception:
            first, longest = ERROR_PAUSE_SECONDS
            pause = min(first * 2.0 ** min(self._failures, 16), longest)
            self._failures += 1
            log.exception("a step failed", loop=self._name, retry_seconds=pause)
            return pause
        self._failures = 0
        return pause
