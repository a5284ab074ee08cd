"""Partitions that come and go: what is read of the machine, and what a run counts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from hack.benchmarks.__main__ import main
from hack.benchmarks.mig.command import Case, play
from hack.benchmarks.mig.geometry import SIZES, Geometry, first_fit
from hack.benchmarks.mig.policies import POLICIES


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    return Geometry.of_machine()


def bench(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(main, ["mig", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_policy_has_a_row_and_the_extender_is_better_than_none() -> None:
    rows = bench("--nodes", "4", "--mix", "big", "--load", "1", "--seeds", "1", "--arrivals", "1500")
    assert [row["policy"] for row in rows] == list(POLICIES)
    for row in rows:
        assert (row["bench"], row["nodes"], row["mix"], row["load"], row["seed"]) == ("mig", 4, "big", 1.0, 0)
        assert 50 < row["acceptance_percent"] <= 100
        assert 50 < row["utilisation_percent"] <= 100
    found = {row["policy"]: row["acceptance_percent"] for row in rows}
    assert found["naive"] < found["partita"]


def test_placements_are_those_that_the_driver_publishes_in_its_order(geometry: Geometry) -> None:
    """Every 3g at slice 4 before any at 0, 1g from slice 6 down, what fills a GPU from the last one."""
    assert [slot for slot, _ in geometry.published["7g"]] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert [mask for _, mask in geometry.published["3g"]] == [0xF0] * 8 + [0x0F] * 8
    assert [mask for slot, mask in geometry.published["1g"] if slot == 0] == [1 << i for i in range(6, -1, -1)]
    assert {shape: mask.bit_count() for shape, [(_, mask), *_] in geometry.published.items()} == SIZES


def test_first_fit_is_the_first_free_placement(geometry: Geometry) -> None:
    full = [0xFF] * 8
    assert first_fit(geometry.published["1g"], [0] * 8) == (0, 1 << 6)
    assert first_fit(geometry.published["1g"], [0x7F, *full[1:]]) is None


@pytest.mark.parametrize("policy", POLICIES)
def test_without_contention_everything_is_accepted(policy: str, geometry: Geometry) -> None:
    accepted, used = play(Case("uniform", 0.05, policy, 0), 4, geometry, 500)
    assert accepted == 100
    assert used == pytest.approx(5, abs=2)
