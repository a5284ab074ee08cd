"""Clients that send a byte now and then: their connection is cut, since each holds a worker.

A socket's own time-out counts from the last byte, and so never ends for them.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from weakref import WeakSet

STEP_SECONDS = 1.0
MOST_AT_ONCE = 1000


class Deadline:
    """Cuts connections whose request has not been read and answered in time: `step()` once, or `run()`. Thread-safe.

    Also the oldest of more than `most` at once.
    """

    def __init__(
        self, seconds: float, clock: Callable[[], float] = time.monotonic, *, most: int = MOST_AT_ONCE
    ) -> None:
        self._seconds, self._clock, self._most = seconds, clock, most
        self._since: dict[socket.socket, float] = {}
        self._gone: WeakSet[socket.socket] = WeakSet()

    def begin(self, connection: socket.socket) -> None:
        """From now on, or from when it was begun before. One that was cut costs nobody else a place."""
        self._since.setdefault(connection, self._clock())
        if len(self._since) > self._most and connection not in self._gone:
            self._cut(list(self._since)[:1])

    def end(self, connection: socket.socket) -> None:
        self._since.pop(connection, None)

    def run(self, stopping: threading.Event) -> None:
        while not stopping.wait(STEP_SECONDS):
            self.step()

    def step(self) -> int:
        """Cut those that are late; how many."""
        now = self._clock()
        late = [connection for connection, since in list(self._since.items()) if now - since >= self._seconds]
        self._cut(late)
        return len(late)

    def _cut(self, late: Iterable[socket.socket]) -> None:
        for connection in late:
            self._gone.add(connection)
            self.end(connection)
            try:
                # The plain one: its TLS counterpart takes the session away from the worker that reads it.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                continue  # gone already
