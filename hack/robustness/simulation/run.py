"""One run: a seed, its steps, and what came of them."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog
from hack.robustness.simulation.hardware import Devices
from hack.robustness.simulation.judge import Broken, calm, expect_nothing, expect_pods
from hack.robustness.simulation.operations import OPERATIONS
from hack.robustness.simulation.steps import Step
from hack.robustness.simulation.tasks import Stuck, Tasks
from hack.robustness.simulation.world import SimulatedWorld

from partita_driver import fault_points
from partita_driver.journal import records as journal_records
from partita_driver.lifecycle import ClaimEvent, ClaimState, advance

STEPS = (15, 50)
"""Fewest and most of a run."""

PAUSES_SECONDS = (0.0, 0.0, 0.1, 1.0, 5.0, 20.0)
LAST_WISHES = (("3g", "1g"), ("shared:Long", "gpu"))
"""Devices that can be had side by side once nothing is held, wherever the first of them is placed."""

END_SECONDS = 1500.0
"""From the last fault's end until nothing may remain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run came to."""

    seed: int
    checks: int
    turns: int
    coverage: Counter[str]
    invariant: str = ""
    """The first that was broken; empty: all held."""

    found: str = ""
    trace: tuple[str, ...] = ()
    """Every step in plain words, where it was asked for."""

    @property
    def digest(self) -> str:
        """Of the trace: equal for equal runs."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


def steps_of(seed: int) -> tuple[Step, ...]:
    """What a seed makes happen."""
    draw = random.Random(f"steps {seed}")
    names, weights = list(OPERATIONS), [weight for weight, _ in OPERATIONS.values()]
    count = draw.randint(*STEPS)
    return tuple(
        Step(name, draw.random(), draw.random(), draw.choice(PAUSES_SECONDS))
        for name in draw.choices(names, weights, k=count)
    )


def run(
    seed: int, folder: Path, devices: Devices, *, steps: tuple[Step, ...] | None = None, trace: bool = False
) -> Result:
    """Run a seed, with other steps than its own where given. Never raises for what is found."""
    lines: list[str] = []
    coverage: Counter[str] = Counter()
    clock: list[Tasks] = []

    def say(words: str) -> None:
        if trace:
            lines.append(f"{clock[0].now:9.3f} {words}" if clock else words)

    world = SimulatedWorld(seed, folder / "node", devices, say)
    clock.append(world.tasks)
    if trace:
        _speak(world, say)
    chosen = steps_of(seed) if steps is None else steps
    invariant = found = ""
    try:
        with replaced(world, coverage, say if trace else None):
            world.begin(recording=any(step.operation == "lose-power" for step in chosen))
            try:
                world.tasks.run(world.tasks.start(world.outside, "story", lambda: _story(world, chosen, coverage)))
            except Broken as broken:
                invariant, found = broken.found[0].invariant, str(broken)
            except Stuck as stuck:
                invariant, found = "nobody-waits-for-ever", str(stuck)
            except Exception as error:  # noqa: BLE001 - a defect of the driver, or of this model
                invariant, found = "no-unexpected-error", f"{type(error).__name__}: {error}"
            say(f"end: {found or 'all invariants held'}")
            shutil.rmtree(folder / "node", ignore_errors=True)
            world.tasks.bury()
    finally:
        shutil.rmtree(folder / "node", ignore_errors=True)
    coverage.update({f"kill {why}": count for why, count in world.killed_at.items() if why.startswith("at ")})
    coverage["kill anywhere"] += sum(n for why, n in world.killed_at.items() if why.startswith("when "))
    coverage.update({f"point {point}": count for point, count in world.reached.items()})
    return Result(
        seed=seed,
        checks=world.checks,
        turns=world.tasks.steps,
        coverage=coverage,
        invariant=invariant,
        found=found.replace(str(folder), ""),
        trace=tuple(line.replace(str(folder), "") for line in lines),
    )


def _story(world: SimulatedWorld, steps: tuple[Step, ...], coverage: Counter[str]) -> None:
    for step in steps:
        coverage[f"operation {step.operation}"] += 1
        world.say(f"-- {step.operation}")
        OPERATIONS[step.operation][1](world, step)
        if step.pause_seconds:
            world.tasks.sleep(step.pause_seconds)
        else:
            world.tasks.pause("goes on")
    _end(world)


def _end(world: SimulatedWorld) -> None:
    """Faults are lifted, pods deleted: nothing remains, and every kind of device can be prepared."""
    world.say("-- end")
    calm(world)
    expect_nothing(world, END_SECONDS)
    for wishes in LAST_WISHES:
        expect_pods(world, wishes, END_SECONDS)
    expect_nothing(world, END_SECONDS)


def _speak(world: SimulatedWorld, say: Callable[[str], None]) -> None:
    before = world.tasks.on_step

    def on_step(task: object, what: str) -> None:
        say(f"{task.process.name}/{task.name} {what}")  # type: ignore[attr-defined]
        before(task, what)  # type: ignore[arg-type]

    world.tasks.on_step = on_step


@contextmanager
def replaced(world: SimulatedWorld, coverage: Counter[str], say: Callable[[str], None] | None) -> Iterator[None]:
    """The process-wide things that a run needs to itself: fault points, fsync, the lifecycle's steps, logs."""

    def counted(state: ClaimState, event: ClaimEvent) -> ClaimState:
        after = advance(state, event)
        coverage[f"transition {state} {event}"] += 1
        return after

    def logged(_logger: object, level: str, entry: MutableMapping[str, Any]) -> str:
        if say:
            say(f"log {level}: " + " ".join(f"{key}={value}" for key, value in entry.items() if key != "exc_info"))
        raise structlog.DropEvent

    before = structlog.get_config()
    wanted = logging.DEBUG if say else logging.CRITICAL
    structlog.configure(processors=[logged], wrapper_class=structlog.make_filtering_bound_logger(wanted))
    try:
        with (
            fault_points.hooked(world.at_point),
            patch.object(os, "fsync", world.fsync),
            patch.object(journal_records, "advance", counted),
        ):
            yield
    finally:
        structlog.configure(**before)
