"""The simulation of driver, kubelet, API and hardware: it repeats exactly, and every seed here holds all invariants."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hack.robustness.simulation.__main__ import main
from hack.robustness.simulation.many import workplace
from hack.robustness.simulation.operations import OPERATIONS
from hack.robustness.simulation.run import run, steps_of
from hack.robustness.simulation.shrink import shortened
from hack.robustness.simulation.steps import Step

from partita_driver.engine import undo

SEEDS = range(1, 61)
Place = tuple[Path, object]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with workplace() as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_all_invariants_hold(place: Place, seed: int) -> None:
    result = run(seed, *place)  # type: ignore[arg-type]
    assert not result.invariant, f"hack/simulate --seed {seed} --trace: {result.found}"
    assert result.checks >= 4


def test_the_same_seed_gives_the_same_run(place: Place) -> None:
    first, second = (run(7, *place, trace=True) for _ in range(2))  # type: ignore[arg-type]
    assert first.trace == second.trace
    assert len(first.trace) > 200
    assert run(8, *place, trace=True).digest != first.digest  # type: ignore[arg-type]


def test_a_run_does_not_hang_on_the_order_of_hashes() -> None:
    def digest(hash_seed: str) -> str:
        command = [sys.executable, "-m", "hack.robustness.simulation", "--seed", "11", "--trace"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert digest("1") == digest("2")


def test_looking_at_a_run_does_not_change_it(place: Place) -> None:
    seen, unseen = (run(9, *place, trace=trace) for trace in (True, False))  # type: ignore[arg-type]
    assert (seen.turns, seen.checks, seen.coverage) == (unseen.turns, unseen.checks, unseen.coverage)


def test_a_driver_that_undoes_nothing_is_caught(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "_undo_device", lambda *_: None)
    found = {run(seed, *place).invariant for seed in range(1, 9)}  # type: ignore[arg-type]
    assert found - {""}


def test_shortening_keeps_what_is_needed() -> None:
    steps = tuple(Step(name, number, 0.0, 0.0) for number, name in enumerate(OPERATIONS))
    needed = {steps[3], steps[17]}
    assert set(shortened(steps, lambda fewer: needed <= set(fewer))) == needed


def test_steps_are_many_and_follow_from_the_seed() -> None:
    assert steps_of(5) == steps_of(5) != steps_of(6)
    assert all(15 <= len(steps_of(seed)) <= 50 for seed in range(50))


def test_the_command_says_what_was_run_and_what_was_reached() -> None:
    shown = CliRunner().invoke(main, ["--seeds", "2", "--seed", "3", "--jobs", "1"])
    assert shown.exit_code == 0, shown.output
    for line in ("seeds run: 2", "invariants checked: ", "first failing seed: none", "transitions: "):
        assert line in shown.output


def test_wrong_arguments_are_told_in_one_line() -> None:
    for arguments in (["--seeds", "0"], ["--seed", "x"], ["--trace"], ["--seeds", "5", "--trace"]):
        shown = CliRunner().invoke(main, arguments)
        assert shown.exit_code == 2
        assert shown.output.splitlines()[-1].startswith("Error: ")
