"""Children that have imported all and wait for a request: starting one takes longer than a quick look."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.validators.cuda.process import Ended, Process

log = structlog.get_logger(__name__)

GONE_SECONDS = 1.0
"""Longest wait for the end of one that was killed: it has no GPU open that could keep it."""


class Spares:
    """A bounded number of waiting children. Thread-safe. They end when this process does."""

    def __init__(self, start: Callable[[], Process], kept: int) -> None:
        self._start, self._kept = start, kept
        self._waiting: list[Process] = []
        self._ready: list[Process] = []
        self._lock = threading.Lock()
        self._closed = False

    def take(self) -> Process:
        """One that waits, or a new one. Raises BackendError where there is none and none can be started."""
        with self._lock:
            while self._waiting:
                process = self._waiting.pop(0)
                if not process.gone(0):
                    return process
        try:
            return self._start()
        except OSError as error:
            raise BackendError(
                NvmlCode.INSUFFICIENT_RESOURCES,
                f"the validation process cannot be started: {error}",
                advice="raise the limits of memory and processes of the driver's container",
            ) from error

    def refill(self) -> None:
        """Start what is missing: it gets ready while nobody waits for it. What cannot be started is tried next time."""
        with self._lock:
            try:
                while not self._closed and len(self._waiting) < self._kept:
                    self._waiting.append(self._start())
            except OSError as error:
                log.warning("no validation process can be kept ready", error=str(error))

    def warm(self, timeout_seconds: float) -> bool:
        """Wait until those that are kept are ready; whether they are."""
        self.refill()
        with self._lock:
            try:
                for process in self._waiting:
                    if process not in self._ready and process.line(timeout_seconds) is not None:
                        self._ready.append(process)
            except Ended:
                return False
            self._ready = [process for process in self._ready if process in self._waiting]
            return len(self._ready) == len(self._waiting)

    def close(self) -> None:
        """End those that wait; nothing is started from now on."""
        with self._lock:
            self._closed = True
            for process in self._waiting:
                process.kill()
            for process in self._waiting:
                process.gone(GONE_SECONDS)
            self._waiting.clear()
