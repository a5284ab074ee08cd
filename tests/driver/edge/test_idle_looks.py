"""When the driver looks at which idle GPU, without a clock that runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pytest

from partita_driver.engine.validation.idle import IdleGpu, Outcome
from partita_driver.running.idle_looks import AGAIN_SECONDS, LOOK_SECONDS, QUIET_SECONDS, IdleLooks
from partita_driver.runtime import Threads
from partita_plugins.errors import ValidationFailed
from partita_plugins.pauses import SPREAD

PERIOD_SECONDS = 3600


class Clock(Threads):
    """Time and chance as the test says."""

    def __init__(self, chance: float = 0.0) -> None:
        self.now = 1000.0
        self.monotonic = self.unix_seconds = lambda: self.now
        self.random = lambda: chance


@dataclass
class Engine:
    """GPUs by UUID; a look makes one clean, as the claim engine does."""

    clock: Clock
    gpus: dict[str, IdleGpu] = field(default_factory=dict)
    outcome: Outcome | ValidationFailed = Outcome.PASSED
    looked: list[tuple[float, str]] = field(default_factory=list)
    stopped: bool = False

    def idle_gpus(self) -> tuple[IdleGpu, ...]:
        return tuple(self.gpus.values())

    def look_while_idle(self, gpu_uuid: str) -> Outcome:
        self.looked.append((self.clock.now, gpu_uuid))
        if isinstance(self.outcome, ValidationFailed):
            del self.gpus[gpu_uuid]
            raise self.outcome
        if self.outcome is Outcome.PASSED:
            self.gpus[gpu_uuid] = IdleGpu(uuid=gpu_uuid, clean=True, looked_at=self.clock.now)
        return self.outcome

    def stop_idle_looks(self) -> None:
        self.stopped = True

    def given_back(self, *uuids: str) -> None:
        self.gpus |= {uuid: IdleGpu(uuid=uuid, clean=False, looked_at=0.0) for uuid in uuids}


@dataclass
class World:
    clock: Clock = field(default_factory=Clock)
    period: float | None = PERIOD_SECONDS
    others: Collection[str] | None = frozenset()
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(self.clock)
        self.looks = IdleLooks(
            self.engine,
            period_seconds=lambda: self.period,
            not_ours=lambda: self.others,
            on_failure=lambda error: self.failed.append(str(error)),
            runtime=self.clock,
        )

    def run(self, seconds: float) -> list[str]:
        """Let so much time go by; the GPUs that were looked at meanwhile."""
        end, before = self.clock.now + seconds, len(self.engine.looked)
        while True:
            pause = self.looks.step()
            if self.clock.now + pause > end:
                self.clock.now = end
                return [gpu_uuid for _, gpu_uuid in self.engine.looked[before:]]
            self.clock.now += pause


@pytest.fixture
def world() -> World:
    return World()


def test_a_gpu_that_was_given_back_is_left_alone_for_a_moment_then_looked_at_once(world: World) -> None:
    world.engine.given_back("a")
    assert world.run(QUIET_SECONDS - 1) == []
    assert world.run(1) == ["a"]
    assert world.run(PERIOD_SECONDS - 1) == []


def test_what_was_not_looked_at_for_the_set_time_is_looked_at_again_and_again(world: World) -> None:
    world.engine.given_back("a", "b")
    assert world.run(3 * PERIOD_SECONDS) == ["a", "b"] * 3


def test_a_claim_that_takes_the_gpu_meanwhile_starts_the_quiet_moment_anew(world: World) -> None:
    world.engine.given_back("a")
    world.run(QUIET_SECONDS - 1)
    del world.engine.gpus["a"]
    world.run(LOOK_SECONDS)
    world.engine.given_back("a")
    assert world.run(QUIET_SECONDS - 1) == []


def test_the_age_of_a_look_counts_over_a_restart(world: World) -> None:
    world.engine.gpus["a"] = IdleGpu(uuid="a", clean=True, looked_at=world.clock.now - PERIOD_SECONDS + 60)
    assert world.run(59) == []
    assert world.run(1) == ["a"]


def test_a_clock_that_was_set_back_puts_no_look_off_for_longer_than_the_period(world: World) -> None:
    world.engine.gpus["a"] = IdleGpu(uuid="a", clean=True, looked_at=world.clock.now + 1e9)
    assert world.run(PERIOD_SECONDS) == ["a"]


def test_a_look_that_could_not_be_taken_is_tried_again_later_and_others_go_on(world: World) -> None:
    world.engine.outcome = Outcome.NOT_NOW
    world.engine.given_back("a", "b")
    assert world.run(QUIET_SECONDS) == ["a", "b"]
    assert world.run(AGAIN_SECONDS - 1) == []
    world.engine.outcome = Outcome.PASSED
    assert world.run(1) == ["a", "b"]


def test_a_failure_is_told_and_the_gpu_left_to_the_quarantine(world: World) -> None:
    world.engine.given_back("a")
    world.engine.outcome = ValidationFailed("a bit is stuck")
    assert world.run(PERIOD_SECONDS) == ["a"]
    assert world.failed == ["a bit is stuck"]


@pytest.mark.parametrize("unknown", ["period", "others"])
def test_nothing_is_looked_at_before_settings_and_neighbours_are_known(world: World, unknown: str) -> None:
    setattr(world, unknown, None)
    world.engine.given_back("a")
    assert world.run(10 * QUIET_SECONDS) == []


def test_gpus_of_others_are_left_alone_and_a_shorter_period_is_in_force_at_once(world: World) -> None:
    world.others = {"a"}
    world.engine.given_back("a", "b")
    assert world.run(QUIET_SECONDS) == ["b"]
    world.period = 60
    assert world.run(60) == ["b"]


def test_many_nodes_do_not_look_in_step() -> None:
    worlds = [World(clock=Clock(chance=number / 500)) for number in range(500)]
    for world in worlds:
        world.engine.gpus["a"] = replace(IdleGpu(uuid="a", clean=True, looked_at=world.clock.now))
        world.run(PERIOD_SECONDS * (1 + SPREAD))
    times = [world.engine.looked[0][0] for world in worlds]
    assert len(set(times)) == len(worlds)
    assert max(times) - min(times) == pytest.approx(PERIOD_SECONDS * SPREAD, rel=0.01)


def test_stopping_gives_up_the_look_in_progress(world: World) -> None:
    world.looks.start()
    world.looks.stop()
    assert world.engine.stopped
