"""The shape of every background loop: wait until due or woken, take one step, ask it when the next is due."""

from __future__ import annotations

import math
from collections.abc import Callable

import structlog

from partita_driver.runtime import THREADS, Runtime, Task
from partita_plugins.errors import PartitaError
from partita_plugins.pauses import Backoff, Pause

log = structlog.get_logger(__name__)

ERROR_PAUSE = Pause(0.5, 60.0)
"""After a step that raised."""

STOP_SECONDS = 2.0
"""Longest wait at the end for a step in progress."""

WAIT_SECONDS_MAX = 3600.0
"""Of one wait: a longer one is several."""


class Loop:
    """Calls `step` in a thread of its own. The step returns seconds until it wants to be called again.

    An exception is logged, one of ours in a line, and the step tried again after a growing pause: a loop never ends by
    itself.
    """

    longest_stop_seconds = STOP_SECONDS

    def __init__(self, name: str, step: Callable[[], float], runtime: Runtime = THREADS) -> None:
        self.step = step
        self._name = name
        self._runtime = runtime
        self._woken = runtime.condition()
        self._due = -math.inf
        self._stopping = False
        self._backoff = Backoff(ERROR_PAUSE, runtime.random)
        self._task: Task | None = None

    def start(self) -> None:
        self._task = self._runtime.start(self._name, self._run)

    def wake(self, delay_seconds: float = 0.0) -> None:
        """Let the next step come no later than after this delay."""
        with self._woken:
            self._due = min(self._due, self._runtime.monotonic() + delay_seconds)
            self._woken.notify_all()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> bool:
        """Take no further step; True when the last one has ended within the time."""
        with self._woken:
            self._stopping = True
            self._woken.notify_all()
        if self._task is None:
            return True
        self._task.join(timeout_seconds)
        return not self._task.is_alive()

    def _run(self) -> None:
        while self._wait():
            self.wake(self._guarded_step())

    def _wait(self) -> bool:
        with self._woken:
            while not self._stopping and (left := self._due - self._runtime.monotonic()) > 0:
                self._woken.wait(min(left, WAIT_SECONDS_MAX))
            # A wake during the coming step is for the step after it.
            self._due = math.inf
            return not self._stopping

    def _guarded_step(self) -> float:
        try:
            pause = self.step()
        except PartitaError as error:
            pause = self._backoff.next_seconds(error)
            log.warning("a step is tried again", loop=self._name, error=str(error), retry_seconds=pause)
            return pause
        except Exception as error:
            pause = self._backoff.next_seconds(error)
            log.exception("a step failed", loop=self._name, retry_seconds=pause)
            return pause
        self._backoff.reset()
        return pause
