"""Claims to be looked at: each once at a time, however often it is named, and not before it is due."""

from __future__ import annotations

import math

from partita_driver.runtime import THREADS, Runtime


class DueQueue:
    """Keys with the time of their next turn. Thread-safe."""

    def __init__(self, runtime: Runtime = THREADS) -> None:
        self._runtime, self._lock = runtime, runtime.lock()
        self._due: dict[str, float] = {}
        self._taken: set[str] = set()

    def put(self, key: str, delay_seconds: float = 0.0) -> None:
        """Let a key's next turn come no later than after this delay; one in its turn gets another after it."""
        due = self._runtime.monotonic() + delay_seconds
        with self._lock:
            self._due[key] = min(due, self._due.get(key, math.inf))

    def take(self) -> str | None:
        """The key that has waited longest; it is nobody else's until `done`. None: none is due."""
        now = self._runtime.monotonic()
        with self._lock:
            ready = [(due, key) for key, due in self._due.items() if due <= now and key not in self._taken]
            if not ready:
                return None
            key = min(ready)[1]
            del self._due[key]
            self._taken.add(key)
            return key

    def done(self, key: str) -> None:
        """Its turn has ended."""
        with self._lock:
            self._taken.discard(key)

    @property
    def due_seconds(self) -> float:
        """Until the next turn of a key that nobody has; infinite: there is none."""
        now = self._runtime.monotonic()
        with self._lock:
            waits = [due - now for key, due in self._due.items() if key not in self._taken]
        return max(0.0, min(waits, default=math.inf))
