"""Who may touch what at once: a lock for each GPU, one call at a time for each claim, and no lock for the node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from partita_driver.runtime import THREADS, Lock, Runtime
from partita_plugins.errors import Retryable

T = TypeVar("T")


class GpuLocks:
    """A lock for each GPU, by UUID."""

    def __init__(self, runtime: Runtime = THREADS) -> None:
        self._runtime = runtime
        self._locks: dict[str, Lock] = {}
        self._lock = runtime.lock()

    @contextmanager
    def hold(self, gpu_uuids: Sequence[str], deadline_seconds: float) -> Iterator[None]:
        """Hold several, taken in the order given, which must be the same for all. Raises Retryable, holding none."""
        end = self._runtime.monotonic() + deadline_seconds
        held: list[Lock] = []
        try:
            for gpu_uuid in gpu_uuids:
                lock = self._of(gpu_uuid)
                if not lock.acquire(timeout=max(0.0, end - self._runtime.monotonic())):
                    raise Retryable(f"{gpu_uuid} is busy with other claims", delay_seconds=2.0)
                held.append(lock)
            yield
        finally:
            for lock in reversed(held):
                lock.release()

    def _of(self, gpu_uuid: str) -> Lock:
        with self._lock:
            if gpu_uuid not in self._locks:
                self._locks[gpu_uuid] = self._runtime.lock()
            return self._locks[gpu_uuid]


class _Flight:
    """One call, in progress or waiting for its turn, and how it ended."""

    def __init__(self, verb: str, runtime: Runtime) -> None:
        self.verb = verb
        self.turn = runtime.event()
        self.landed = runtime.event()
        self.future: Future[Any] = Future()


class Flights:
    """Calls by claim, one after the other as they came: one like the last joins it, any other waits for its turn.

    A Prepare that joined one from before an Unprepare would be undone by that, and an Unprepare that joined one from
    before a Prepare would leave what that makes.
    """

    def __init__(self, runtime: Runtime = THREADS) -> None:
        self._runtime = runtime
        self._lock = runtime.lock()
        self._lines: dict[str, list[_Flight]] = {}
        """By claim: the call in progress, then those that wait."""

        self._closed = False

    @property
    def busy(self) -> bool:
        """Is any call in progress?"""
        return bool(self._lines)

    def run(self, claim_uid: str, verb: str, act: Callable[[], T], deadline_seconds: float) -> T:
        """The result of `act`, or of the same call if that came last. Raises Retryable if the wait is too long."""
        with self._lock:
            line = self._lines.get(claim_uid, [])
            joins = bool(line) and line[-1].verb == verb
            if not joins:
                self._refuse_when_closed(claim_uid, verb)
                line.append(_Flight(verb, self._runtime))
                self._lines[claim_uid] = line
            first, flight = line[0], line[-1]
        if not joins:
            self._fly(claim_uid, flight, act, 0.0 if flight is first else deadline_seconds)
        elif not flight.landed.wait(deadline_seconds):
            raise _in_progress(claim_uid, first)
        return cast("T", flight.future.result())

    def close(self, deadline_seconds: float) -> bool:
        """Begin no more calls; True when none is in progress any more, False after the deadline."""
        end = self._runtime.monotonic() + deadline_seconds
        with self._lock:
            self._closed = True
            flying = [line[0] for line in self._lines.values()]
        return all(flight.landed.wait(max(0.0, end - self._runtime.monotonic())) for flight in flying)

    def _fly(self, claim_uid: str, mine: _Flight, act: Callable[[], T], deadline_seconds: float) -> None:
        """Take the call's turn, waiting so long for it. How it ends is for all who joined."""
        try:
            self._await_turn(claim_uid, mine, deadline_seconds)
            mine.future.set_result(act())
        except BaseException as error:  # noqa: BLE001 - raised again by `run`, for all who joined
            mine.future.set_exception(error)
        finally:
            self._leave(claim_uid, mine)

    def _await_turn(self, claim_uid: str, mine: _Flight, deadline_seconds: float) -> None:
        if deadline_seconds:
            mine.turn.wait(deadline_seconds)
        with self._lock:
            if (first := self._lines[claim_uid][0]) is not mine:
                raise _in_progress(claim_uid, first)
            self._refuse_when_closed(claim_uid, mine.verb)

    def _leave(self, claim_uid: str, mine: _Flight) -> None:
        with self._lock:
            line = self._lines[claim_uid]
            line.remove(mine)
            if line:
                line[0].turn.set()
            else:
                del self._lines[claim_uid]
        mine.landed.set()

    def _refuse_when_closed(self, claim_uid: str, verb: str) -> None:
        if self._closed:
            raise Retryable(f"no {verb} of claim {claim_uid} now: the driver stops", delay_seconds=2.0)


def _in_progress(claim_uid: str, flight: _Flight) -> Retryable:
    return Retryable(f"{flight.verb} of claim {claim_uid} is still in progress", delay_seconds=2.0)
