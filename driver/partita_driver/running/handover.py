"""A rolling update without a gap: how two instances of the driver on one node change over.

The kubelet fails a pod at once while no driver is registered, and calls the one that registered last. So the instance
that is told to stop gives up its turn, serves until its successor is registered, and only then lets the state folder
go. Meanwhile calls reach the successor and wait. Locks are flocks: they end with their process, however that ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from partita_driver.kubelet.claims import Engine, Prepared
from partita_driver.opening.options import Options, StateLock
from partita_plugins.errors import Retryable
from partita_plugins.wire.resource_claim import ResourceClaim

HANDOVER_LOCKS = ("standby", "turn", "registered")
"""Beside the state folder's own: somebody waits, is to be called, has been found by the kubelet."""

LOOK_SECONDS = 0.05

ARRIVAL_SECONDS = 8.0
"""Longest wait for a successor's registration: the kubelet looks for new drivers once a second."""

ENGINE_SECONDS = 30.0
"""Longest wait of a call for a predecessor that finishes its own; the kubelet gives up after 45 s."""


class Handover:
    """Who is called by the kubelet, and who owns the state folder, among the instances on one node."""

    def __init__(self, options: Options, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._alone = not options.pod_uid
        locks = [StateLock(options.state_dir, name) for name in HANDOVER_LOCKS]
        self._standby, self._turn, self._arrived = locks
        self._state = StateLock(options.state_dir)
        self._arriving, self._leaving = threading.Lock(), False
        self.waiting = False
        """Another instance has the state folder."""

    def take_over(self, serve: Callable[[], None]) -> bool:
        """Return when the state folder is ours: True; or when this instance is told to stop: False.

        `serve` is called as soon as the kubelet is to call this instance, if a predecessor is still finishing.
        """
        self.waiting = True
        if not self._until(lambda: self._alone or self._in_turn()):
            return False
        if not self._state.try_acquire():
            if not self._alone:
                serve()
            if not self._until(self._state.try_acquire):
                return False
        self._standby.release()
        self.waiting = False
        return True

    def arrive(self) -> None:
        """The kubelet calls this instance from now on; not if it leaves: a kubelet that restarts calls all again."""
        if self._alone:
            return
        with self._arriving:
            # A predecessor that looks for us holds the lock for a moment.
            self._until(lambda: self._leaving or self._arrived.ours or self._arrived.try_acquire())
            self._standby.release()

    def leave(self) -> None:
        """Give up the turn and wait, for a bounded time, until a successor is registered; at once without one."""
        followed = not self._alone and self._standby.is_held()
        self._leaving = True
        with self._arriving:
            self._arrived.release()
        self._turn.release()
        if followed:
            _within(ARRIVAL_SECONDS, self._arrived.is_held)

    def release(self) -> None:
        """Let everything go."""
        for lock in (self._standby, self._arrived, self._turn, self._state):
            lock.release()

    def _in_turn(self) -> bool:
        """Whether it is our turn; until then others can see that somebody stands by."""
        self._standby.try_acquire()
        return self._turn.try_acquire()

    def _until(self, done: Callable[[], bool]) -> bool:
        while not done():
            if self._stopping.wait(LOOK_SECONDS):
                return False
        return True


@dataclass(slots=True, eq=False)
class _Prepare:
    """A Prepare that has come, and whether an Unprepare of its claim has come since."""

    claim_uid: str
    void: bool = False


class ComingEngine:
    """The claim engine, to calls that come before the state folder is free: they wait for it.

    Calls that waited together go on in any order. The kubelet calls Unprepare after it gave a Prepare up, so an
    Unprepare voids the Prepares of its claim that came before and have not begun.
    """

    def __init__(self, wait_seconds: float = ENGINE_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._there = threading.Event()
        self._engine: Engine
        self._lock = threading.Lock()
        self._prepares: list[_Prepare] = []

    def come(self, engine: Engine) -> None:
        """From now on calls are the engine's."""
        self._engine = engine
        self._there.set()

    def prepare_read(self, claim_uid: str, read: Callable[[], ResourceClaim]) -> Sequence[Prepared]:
        mine = _Prepare(claim_uid)

        def read_unless_void() -> ResourceClaim:
            if mine.void:
                raise Retryable(f"an Unprepare of claim {claim_uid} came while this Prepare waited", delay_seconds=1.0)
            return read()

        with self._lock:
            self._prepares.append(mine)
        try:
            return self._awaited().prepare_read(claim_uid, read_unless_void)
        finally:
            with self._lock:
                self._prepares.remove(mine)

    def unprepare(self, claim_uid: str) -> None:
        with self._lock:
            for one in self._prepares:
                one.void = one.void or one.claim_uid == claim_uid
        self._awaited().unprepare(claim_uid)

    def _awaited(self) -> Engine:
        if not self._there.wait(self._wait_seconds):
            raise Retryable(
                "the driver before this one has not finished yet",
                delay_seconds=5.0,
                advice="delete its pod if it hangs",
            )
        return self._engine


def _within(seconds: float, check: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not check() and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
