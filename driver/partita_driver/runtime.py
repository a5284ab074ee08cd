"""All that the driver waits with, tells time by and leaves to chance, behind one port: the real ones or simulated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, TypeVar

from partita_plugins.pauses import by_chance

T = TypeVar("T")

SIDE_BY_SIDE_MAX = 16
"""Threads of one `side_by_side`: what comes after waits for its turn."""


class Lock(Protocol):
    """A threading.Lock, or a semaphore."""

    def acquire(self, *, timeout: float) -> bool:
        """True when it is held; False after so many seconds."""

    def release(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Event(Protocol):
    """A threading.Event that is set once."""

    def set(self) -> None: ...
    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None, /) -> bool: ...


class Condition(Protocol):
    """A threading.Condition with a lock of its own."""

    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def wait(self, timeout: float | None = None, /) -> bool: ...
    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool: ...
    def notify_all(self) -> None: ...


class Task(Protocol):
    """Something that was started."""

    def join(self, timeout: float | None = None) -> None: ...
    def is_alive(self) -> bool: ...


class Runtime(Protocol):
    """What blocks, what tells time, and chance. Seconds everywhere."""

    def lock(self) -> Lock: ...
    def semaphore(self, count: int) -> Lock:
        """Held by so many at once."""

    def event(self) -> Event: ...
    def condition(self) -> Condition: ...
    def start(self, name: str, act: Callable[[], None]) -> Task:
        """Begin something that the end of the process need not wait for."""

    def side_by_side(self, acts: Sequence[Callable[[], T]]) -> list[Future[T]]:
        """Run all at once; when this returns, all have ended."""

    def monotonic(self) -> float: ...
    def unix_seconds(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def random(self) -> float:
        """From 0 up to, not including, 1: what keeps the drivers of many nodes out of step."""


class Threads:
    """The operating system's threads, clocks and chance."""

    lock: Callable[[], Lock] = staticmethod(threading.Lock)
    semaphore: Callable[[int], Lock] = staticmethod(threading.BoundedSemaphore)
    event: Callable[[], Event] = staticmethod(threading.Event)
    condition: Callable[[], Condition] = staticmethod(threading.Condition)
    monotonic: Callable[[], float] = staticmethod(time.monotonic)
    unix_seconds: Callable[[], float] = staticmethod(time.time)
    sleep: Callable[[float], None] = staticmethod(time.sleep)
    random: Callable[[], float] = staticmethod(by_chance)

    def start(self, name: str, act: Callable[[], None]) -> Task:
        thread = threading.Thread(target=act, name=name, daemon=True)
        thread.start()
        return thread

    def side_by_side(self, acts: Sequence[Callable[[], T]]) -> list[Future[T]]:
        with ThreadPoolExecutor(SIDE_BY_SIDE_MAX, thread_name_prefix="side-by-side") as pool:
            return [pool.submit(act) for act in acts]


THREADS: Runtime = Threads()
