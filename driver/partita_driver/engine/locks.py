"""Who may touch what at once: a lock for each GPU, one call at a time for each claim, and no lock for the node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from partita_plugins.errors import Retryable

T = TypeVar("T")


class GpuLocks:
    """A lock for each GPU, by UUID."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, gpu_uuids: Sequence[str], deadline_seconds: float) -> Iterator[None]:
        """Hold several, taken in the order given, which must be the same for all. Raises Retryable, holding none."""
        end = time.monotonic() + deadline_seconds
        held: list[threading.Lock] = []
        try:
            for gpu_uuid in gpu_uuids:
                lock = self._of(gpu_uuid)
                if not lock.acquire(timeout=max(0.0, end - time.monotonic())):
                    raise Retryable(f"{gpu_uuid} is busy with other claims", delay_seconds=2.0)
                held.append(lock)
            yield
        finally:
            for lock in reversed(held):
                lock.release()

    def _of(self, gpu_uuid: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(gpu_uuid, threading.Lock())


class Flights:
    """Calls in progress by claim: the same call joins, another one waits for its turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[str, tuple[str, Future[Any]]] = {}

    def run(self, claim_uid: str, verb: str, act: Callable[[], T], deadline_seconds: float) -> T:
        """The result of `act`, or of the same call if one is in progress. Raises Retryable if that takes too long."""
        end = time.monotonic() + deadline_seconds
        while True:
            mine: Future[T] = Future()
            with self._lock:
                flying, future = self._flying.setdefault(claim_uid, (verb, mine))
            if future is mine:
                return self._fly(claim_uid, mine, act)
            self._wait(future, claim_uid, flying, end)
            if flying == verb:
                return cast("T", future.result())

    def _fly(self, claim_uid: str, mine: Future[T], act: Callable[[], T]) -> T:
        try:
            mine.set_result(act())
        except BaseException as error:  # noqa: BLE001 - raised again below, and for all who joined
            mine.set_exception(error)
        finally:
            with self._lock:
                del self._flying[claim_uid]
        return mine.result()

    @staticmethod
    def _wait(future: Future[Any], claim_uid: str, flying: str, end: float) -> None:
        try:
            future.exception(timeout=max(0.0, end - time.monotonic()))
        except TimeoutError as error:
            raise Retryable(f"{flying} of claim {claim_uid} is still in progress", delay_seconds=2.0) from error
