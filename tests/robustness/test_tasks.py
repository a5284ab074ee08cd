"""Seeded tasks: turns, virtual time, deadlocks, and processes that are killed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from hack.robustness.simulation.runtime import SimulatedRuntime
from hack.robustness.simulation.tasks import Process, Stuck, Tasks


def world(seed: int = 1) -> tuple[Tasks, Process, SimulatedRuntime]:
    tasks, process = Tasks(random.Random(seed)), Process("p")
    return tasks, process, SimulatedRuntime(tasks, process)


def run(tasks: Tasks, process: Process, act: Callable[[], object]) -> None:
    tasks.run(tasks.start(process, "main", act))


def test_time_passes_only_when_nobody_can_go_on_and_then_at_once() -> None:
    tasks, process, runtime = world()
    woke: list[float] = []

    def sleeper(seconds: float) -> None:
        runtime.sleep(seconds)
        woke.append(tasks.now)

    def main() -> None:
        for seconds in (3600.0, 5.0, 86400.0):
            runtime.start("sleeper", lambda seconds=seconds: sleeper(seconds))  # type: ignore[misc]
        runtime.sleep(90000.0)

    began = time.monotonic()
    run(tasks, process, main)
    assert woke == [5.0, 3600.0, 86400.0]
    assert time.monotonic() - began < 60


def test_the_seed_decides_who_goes_on() -> None:
    def order(seed: int) -> list[str]:
        tasks, process, runtime = world(seed)
        said: list[str] = []

        def speaker(name: str) -> None:
            for _ in range(5):
                said.append(name)
                tasks.pause("speaks")

        run(tasks, process, lambda: runtime.side_by_side([lambda: speaker("a"), lambda: speaker("b")]))
        return said

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) > 5


def test_one_holder_of_a_lock_at_a_time_whoever_goes_on() -> None:
    for seed in range(30):
        tasks, process, runtime = world(seed)
        lock, inside, crowd = runtime.lock(), [0], [0]

        def enter(
            lock: object = lock, inside: list[int] = inside, crowd: list[int] = crowd, tasks: Tasks = tasks
        ) -> None:
            with lock:  # type: ignore[attr-defined]
                inside[0] += 1
                crowd[0] = max(crowd[0], inside[0])
                tasks.pause("is inside")
                inside[0] -= 1

        run(tasks, process, lambda runtime=runtime, enter=enter: runtime.side_by_side([enter] * 4))  # type: ignore[misc]
        assert crowd == [1]


def test_waiting_for_a_lock_ends_with_its_time() -> None:
    tasks, process, runtime = world()
    lock, got = runtime.lock(), []

    def holder() -> None:
        with lock:
            runtime.sleep(10.0)

    def main() -> None:
        runtime.start("holder", holder)
        runtime.sleep(1.0)
        got.append((lock.acquire(timeout=4.0), tasks.now))
        got.append((lock.acquire(timeout=40.0), tasks.now))

    run(tasks, process, main)
    assert got == [(False, 5.0), (True, 10.0)]


def test_two_locks_in_two_orders_are_found_with_both_stacks() -> None:
    def both_ways(seed: int) -> None:
        tasks, process, runtime = world(seed)
        one, other = runtime.lock(), runtime.lock()

        def take_one_then_other() -> None:
            with one, other:
                pass

        def take_other_then_one() -> None:
            with other, one:
                pass

        run(tasks, process, lambda: runtime.side_by_side([take_one_then_other, take_other_then_one]))

    def any_seed() -> None:
        for seed in range(200):
            both_ways(seed)

    with pytest.raises(Stuck, match="wait for each other") as stuck:
        any_seed()
    assert "take_one_then_other" in str(stuck.value)
    assert "take_other_then_one" in str(stuck.value)


def test_waiting_for_what_never_comes_is_found() -> None:
    tasks, process, runtime = world()
    with pytest.raises(Stuck, match="nobody can go on"):
        run(tasks, process, lambda: runtime.event().wait())


def test_a_killed_process_never_runs_again_not_even_its_finally_blocks() -> None:
    tasks, process, runtime = world()
    outside, done = Process("outside"), []

    def victim() -> None:
        try:
            done.append("begun")
            runtime.sleep(5.0)
            done.append("slept")
        finally:
            done.append("finally")

    def main() -> None:
        tasks.start(process, "victim", victim)
        tasks.sleep(1.0)
        tasks.kill(process)
        tasks.sleep(100.0)
        assert done == ["begun"]

    run(tasks, outside, main)
    tasks.bury()
    assert "slept" not in done


def test_what_a_task_raises_ends_the_run() -> None:
    tasks, process, runtime = world()

    def fail() -> None:
        raise ZeroDivisionError

    def main() -> None:
        runtime.start("fails", fail)
        runtime.sleep(1.0)

    with pytest.raises(ZeroDivisionError):
        run(tasks, process, main)
