"""Claims that arrive go first: a look at an idle GPU is given up for them, and none begins while they take the GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from partita_driver.runtime import THREADS, Runtime

GIVE_UP_SECONDS = 5.0
"""Longest wait of a claim for a look that was given up: a validator asks every few milliseconds, then it is undone."""


class RightOfWay:
    """Who arrives at which GPU, and which is looked at. Thread-safe."""

    def __init__(self, runtime: Runtime = THREADS) -> None:
        self._changed = runtime.condition()
        self._arriving: Counter[str] = Counter()
        self._looking: set[str] = set()
        self._given_up: set[str] = set()
        """Of those looked at: what was given up once stays so, however soon the claim is done."""

        self._closed = False

    @contextmanager
    def arriving(self, gpu_uuids: Collection[str]) -> Iterator[None]:
        """Have looks at these GPUs given up and wait until they have ended; until the end of the block none begins."""
        wanted = set(gpu_uuids)
        with self._changed:
            self._arriving.update(wanted)
            self._given_up |= wanted & self._looking
            self._changed.wait_for(lambda: not wanted & self._looking, GIVE_UP_SECONDS)
        try:
            yield
        finally:
            with self._changed:
                self._arriving.subtract(wanted)

    @contextmanager
    def looking(self, gpu_uuid: str) -> Iterator[Callable[[], bool] | None]:
        """Look at an idle GPU meanwhile. The block is given what says that it must end; None: it must not begin."""

        with self._changed:
            begins = not (self._closed or self._arriving[gpu_uuid])
            if begins:
                self._looking.add(gpu_uuid)
        if not begins:
            yield None
            return
        try:
            yield lambda: self._closed or gpu_uuid in self._given_up
        finally:
            with self._changed:
                self._looking.discard(gpu_uuid)
                self._given_up.discard(gpu_uuid)
                self._changed.notify_all()

    def close(self) -> None:
        """End every look, and let none begin: the driver stops."""
        self._closed = True
