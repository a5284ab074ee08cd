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
    """One call in progress, and how it ended."""

    def __init__(self, verb: str, runtime: Runtime) -> None:
        self.verb = verb
        self.landed = runtime.event()
        self.future: Future[Any] = Future()


class Flights:
    """Calls in progress by claim: the same call joins, another one waits for its turn."""

    def __init__(self, runtime: Runtime = THREADS) -> None:
        self._runtime = runtime
        self._lock = runtime.lock()
        self._flying: dict[str, _Flight] = {}
        self._closed = False

    @property
    def busy(self) -> bool:
        """Is any call in progress?"""
        return bool(self._flying)

    def run(self, claim_uid: str, verb: str, act: Callable[[], T], deadline_seconds: float) -> T:
        """The result of `act`, or of the same call if one is in progress. Raises Retryable if that takes too long."""
        end = self._runtime.monotonic() + deadline_seconds
        while True:
            mine = _Flight(verb, self._runtime)
            with self._lock:
                if self._closed and claim_uid not in self._flying:
                    raise Retryable(f"no {verb} of claim {claim_uid} now: the driver stops", delay_seconds=2.0)
                flight = self._flying.setdefault(claim_uid, mine)
            if flight is mine:
                return self._fly(claim_uid, mine, act)
            if not flight.landed.wait(max(0.0, end - self._runtime.monotonic())):
                raise Retryable(f"{flight.verb} of claim {claim_uid} is still in progress", delay_seconds=2.0)
            if flight.verb == verb:
                return cast("T", flight.future.result())

    def close(self, deadline_seconds: float) -> bool:
        """Begin no more calls; True when none is in progress any more, False after the deadline."""
        end = self._runtime.monotonic() + deadline_seconds
        with self._lock:
            self._closed = True
            flying = list(self._flying.values())
        return all(flight.landed.wait(max(0.0, end - self._runtime.monotonic())) for flight in flying)

    def _fly(self, claim_uid: str, mine: _Flight, act: Callable[[], T]) -> T:
        try:
            mine.future.set_result(act())
        except BaseException as error:  # noqa: BLE001 - raised again below, and for all who joined
            mine.future.set_exception(error)
        finally:
            with self._lock:
                del self._flying[claim_uid]
            mine.landed.set()
        return cast("T", mine.future.result())
