"""The driver's runtime port over seeded tasks: its locks, events, threads and clocks, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from hack.robustness.simulation.tasks import Process, Task, Tasks

from partita_driver import runtime

T = TypeVar("T")

EPOCH = 1_700_000_000.0
"""Unix seconds at the beginning of every run."""


class SimulatedLock:
    """A lock or semaphore. Whoever waits is woken in the order that the seed decides."""

    def __init__(self, tasks: Tasks, count: int = 1) -> None:
        self._tasks, self._free = tasks, count
        self._waiters: list[Task] = []
        self._holder: Task | None = None

    def acquire(self, *, timeout: float | None = None) -> bool:
        tasks = self._tasks
        tasks.pause("takes a lock")
        end = None if timeout is None else tasks.now + timeout
        while self._free == 0:
            if (task := tasks.current) is None:
                return True
            self._waiters.append(task)
            left = None if end is None else end - tasks.now
            woken = tasks.block("waits for a lock", left, lambda: self._holder)
            if task in self._waiters:
                self._waiters.remove(task)
            if not woken and self._free == 0:
                return False
        self._free -= 1
        self._holder = tasks.current
        return True

    def release(self) -> None:
        self._free += 1
        self._holder = None
        if self._waiters:
            self._tasks.wake(self._waiters.pop(int(self._tasks.random.random() * len(self._waiters))))
        self._tasks.pause("gives a lock back")

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_exc: object) -> None:
        self.release()


class SimulatedEvent:
    """An event that is set once."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks, self._set = tasks, False
        self._waiters: list[Task] = []

    def set(self) -> None:
        self.fire()
        self._tasks.pause("sets an event")

    def fire(self) -> None:
        """Set it within the same turn."""
        self._set = True
        waiters, self._waiters = self._waiters, []
        for task in waiters:
            self._tasks.wake(task)

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None, /) -> bool:
        tasks = self._tasks
        end = None if timeout is None else tasks.now + timeout
        while not self._set and (end is None or tasks.now < end):
            if tasks.current:
                self._waiters.append(tasks.current)
            tasks.block("waits for an event", None if end is None else end - tasks.now)
        return self._set


class SimulatedCondition(SimulatedLock):
    """A condition with a lock of its own."""

    def __init__(self, tasks: Tasks) -> None:
        super().__init__(tasks)
        self._listeners: list[Task] = []

    def wait(self, timeout: float | None = None, /) -> bool:
        tasks = self._tasks
        task = tasks.current
        if task is not None:
            self._listeners.append(task)
        self._free += 1
        self._holder = None
        if self._waiters:
            tasks.wake(self._waiters.pop(0))
        told = tasks.block("waits to be told", timeout)
        if task in self._listeners:
            self._listeners.remove(task)
        self.acquire()
        return told

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        end = None if timeout is None else self._tasks.now + timeout
        while not predicate() and (end is None or self._tasks.now < end):
            self.wait(None if end is None else end - self._tasks.now)
        return predicate()

    def notify_all(self) -> None:
        listeners, self._listeners = self._listeners, []
        for task in listeners:
            self._tasks.wake(task)


class SimulatedThread:
    """A started task, as something to join."""

    def __init__(self, ended: SimulatedEvent) -> None:
        self._ended = ended

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return not self._ended.is_set()


class SimulatedRuntime:
    """What one process waits with. Its wall clock goes with the virtual one."""

    def __init__(self, tasks: Tasks, process: Process) -> None:
        self.tasks, self.process = tasks, process

    def lock(self) -> runtime.Lock:
        return SimulatedLock(self.tasks)

    def semaphore(self, count: int) -> runtime.Lock:
        return SimulatedLock(self.tasks, count)

    def event(self) -> runtime.Event:
        return SimulatedEvent(self.tasks)

    def condition(self) -> runtime.Condition:
        return SimulatedCondition(self.tasks)

    def start(self, name: str, act: Callable[[], None]) -> runtime.Task:
        ended = SimulatedEvent(self.tasks)

        def body() -> None:
            act()
            ended.set()

        self.tasks.start(self.process, name, body)
        self.tasks.pause(f"starts {name}")
        return SimulatedThread(ended)

    def side_by_side(self, acts: Sequence[Callable[[], T]]) -> list[Future[T]]:
        futures: list[Future[T]] = [Future() for _ in acts]
        threads = [
            self.start(f"side-by-side-{index}", lambda act=act, future=future: _settle(act, future))  # type: ignore[misc]
            for index, (act, future) in enumerate(zip(acts, futures, strict=True))
        ]
        for thread in threads:
            thread.join()
        return futures

    def monotonic(self) -> float:
        return self.tasks.now

    def unix_seconds(self) -> float:
        return EPOCH + self.tasks.now

    def sleep(self, seconds: float) -> None:
        self.tasks.sleep(seconds)

    def random(self) -> float:
        return self.tasks.random.random()


def _settle(act: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(act())
    except Exception as error:  # noqa: BLE001 - raised again where the result is awaited
        future.set_exception(error)
