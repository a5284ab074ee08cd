"""Tasks that take turns: exactly one runs, a seed decides who goes on, and time passes only when nobody can.

A task gives up its turn at `pause` and in the waits that runtime.py builds from `block` and `wake`. A process is a
group of tasks: killed, none of them ever runs again, not even its finally blocks.
"""

from __future__ import annotations

import heapq
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

STEPS_MAX = 400_000
"""Turns in one run: more is a task that never comes to rest."""


class Stuck(Exception):
    """Tasks that wait for each other, or for nothing that could come; the message has their stacks."""


@dataclass(eq=False, slots=True)
class Process:
    """Tasks that live and die together."""

    name: str
    alive: bool = True


@dataclass(eq=False, slots=True)
class Task:
    """One flow of control."""

    name: str
    process: Process
    greenlet: Any = None
    done: bool = False
    ticket: int = 0
    """Of the wait it is in: a wake-up or a time-out for an earlier one is void."""

    waits_for: str = ""
    holder: Callable[[], Task | None] | None = None
    """Who has the lock that it waits for without end."""

    awake: bool = True
    woken: bool = False


@dataclass(slots=True)
class Tasks:
    """All tasks of one run, and their clock."""

    random: random.Random
    on_step: Callable[[Task, str], None] = field(default=lambda _task, _what: None)
    """Told what a task did or waits for whenever it gives up its turn; may kill."""

    switch_chance: float = 0.5
    """That a task which could go on lets another one go first."""

    now: float = 0.0
    current: Task | None = None
    steps: int = 0
    _hub: Any = field(default_factory=getcurrent)
    _ready: list[Task] = field(default_factory=list)
    _timers: list[tuple[float, int, Task, int]] = field(default_factory=list)
    _count: int = 0
    _waiting: dict[Task, None] = field(default_factory=dict)
    _abandoned: list[Task] = field(default_factory=list)
    _failure: BaseException | None = None
    _over: bool = False

    def start(self, process: Process, name: str, act: Callable[[], object]) -> Task:
        """A new task, ready to run. What it raises ends the run."""
        task = Task(name, process)

        def body() -> None:
            try:
                act()
            except GreenletExit:
                pass
            except BaseException as error:  # noqa: BLE001 - raised again by `run`
                self._failure = self._failure or error
            task.done = True

        task.greenlet = greenlet(body, self._hub)
        self._ready.append(task)
        return task

    def run(self, main: Task) -> None:
        """Take turns until `main` has ended. Raises Stuck, or what a task raised."""
        while not main.done:
            if not self._ready:
                self._pass_time()
                continue
            ready = self._ready
            index = int(self.random.random() * len(ready)) if len(ready) > 1 else 0
            task = ready[index]
            ready[index] = ready[-1]
            ready.pop()
            if not task.process.alive:
                self._abandoned.append(task)
                continue
            self._turn(task)

    def pause(self, what: str) -> None:
        """A point at which the others may go first, and at which a process may be killed."""
        task = self.current
        if task is None or self._over:
            return
        self.on_step(task, what)
        if task.process.alive and (not self._ready or self.random.random() >= self.switch_chance):
            return
        self._ready.append(task)
        self._hub.switch()

    def block(self, what: str, seconds: float | None, holder: Callable[[], Task | None] | None = None) -> bool:
        """Wait until `wake`: True; or so many seconds: False."""
        task = self.current
        if task is None or self._over:
            raise GreenletExit
        task.ticket += 1
        task.awake = task.woken = False
        task.waits_for, task.holder = what, holder
        if seconds is None and holder is not None:
            self._refuse_cycle(task)
        self._waiting[task] = None
        if seconds is not None:
            self._count += 1
            heapq.heappush(self._timers, (self.now + max(0.0, seconds), self._count, task, task.ticket))
        self.on_step(task, what)
        self._hub.switch()
        return task.woken

    def wake(self, task: Task) -> None:
        """End a task's wait."""
        if not task.awake:
            task.woken = True
            self._rouse(task)

    def sleep(self, seconds: float) -> None:
        self.block(f"sleeps {seconds:g} s", seconds)

    def kill(self, process: Process) -> None:
        """None of its tasks runs again: what they held in memory is gone with them."""
        process.alive = False

    def bury(self) -> None:
        """After a run: let abandoned tasks close their files. Nothing that they do may matter any more."""
        self._over = True
        waiting = [*self._waiting, *self._ready, *self._abandoned]
        for task in waiting:
            task.process.alive = False
            if task.greenlet and not task.greenlet.dead:
                task.greenlet.throw(GreenletExit)

    def _turn(self, task: Task) -> None:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stuck(f"no rest after {STEPS_MAX} turns\n{self.stacks()}")
        self.current = task
        task.greenlet.switch()
        self.current = None
        if self._failure is not None:
            raise self._failure

    def _pass_time(self) -> None:
        while self._timers:
            due, _, task, ticket = heapq.heappop(self._timers)
            if task.ticket == ticket and not task.awake:
                if not task.process.alive:
                    self._waiting.pop(task, None)
                    self._abandoned.append(task)
                    task.awake = True
                    continue
                self.now = max(self.now, due)
                self._rouse(task)
                return
        raise Stuck(f"nobody can go on\n{self.stacks()}")

    def _rouse(self, task: Task) -> None:
        task.awake, task.holder = True, None
        self._waiting.pop(task, None)
        self._ready.append(task)

    def _refuse_cycle(self, task: Task) -> None:
        seen = [task]
        while (holder := seen[-1].holder) and (other := holder()):
            if other is task:
                # Not raised here: the driver would catch it.
                self._failure = Stuck("tasks wait for each other\n" + self.stacks(seen))
                self._hub.switch()
            if other in seen:
                return
            seen.append(other)

    def stacks(self, tasks: list[Task] | None = None) -> str:
        """Where tasks are, in the driver's own code as far as possible."""
        return "\n".join(self._stack(task) for task in tasks or [*self._waiting] if task.process.alive)

    def _stack(self, task: Task) -> str:
        running = task is self.current
        frame = sys._getframe() if running else task.greenlet.gr_frame  # noqa: SLF001 - there is no other way
        lines = [f"{entry.filename}:{entry.lineno} {entry.name}" for entry in _extract(frame)][-6:]
        return f"{task.process.name}/{task.name} waits: {task.waits_for}\n  " + "\n  ".join(lines)


def _extract(frame: Any) -> Iterator[traceback.FrameSummary]:
    for entry in traceback.extract_stack(frame):
        if "/simulation/" not in entry.filename:
            yield entry
