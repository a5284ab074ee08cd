"""hack/bench predict without a control plane: what its cases are, and that it notices what it is there to notice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hack.benchmarks.predict import coverage
from hack.benchmarks.predict.case import ALLOCATED
from hack.benchmarks.predict.command import batches, predict_command
from hack.benchmarks.predict.generate import generate
from hack.benchmarks.predict.model import placed, predict, view
from hack.benchmarks.predict.report import Record

from partita_scheduler.allocator.elsewhere import unsound_pool
from partita_scheduler.allocator.rules import RULES

SEED = 7
CASES = [placed(generate(SEED, number)) for number in range(120)]
AS_PREDICTED = [Record(version="1.37", seed=SEED, case=case, seen=predict(case, 37)) for case in CASES]
"""A control plane that does what the model says."""


def replayed(folder: Path, records: list[Record]) -> tuple[int, str]:
    path = folder / "seen.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, records)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(predict_command, ["--replay", str(path), "--json"])
    return done.exit_code, done.stdout


def test_a_case_is_made_from_its_seed_and_number_alone() -> None:
    assert generate(SEED, 5) == generate(SEED, 5) != generate(SEED + 1, 5)


def test_the_cases_exercise_what_they_are_there_for() -> None:
    found = coverage.percentages(coverage.parts(one.case, one.seen, 37) for one in AS_PREDICTED)
    assert {part: found[part] for part, least in coverage.WANTED.items() if found[part] < least} == {}


def test_a_run_that_agrees_succeeds_and_prints_its_row(tmp_path: Path) -> None:
    code, printed = replayed(tmp_path, AS_PREDICTED)
    row = msgspec.json.decode(printed, type=dict)
    assert (code, row["bench"], row["cases"], row["disagreements"]) == (0, "predict", len(CASES), 0)


def test_another_device_is_a_disagreement_that_is_kept_as_a_regression_case(tmp_path: Path) -> None:
    victim = next(one for one in AS_PREDICTED if one.seen.kind == ALLOCATED and one.seen.claims)
    other = msgspec.json.decode(msgspec.json.encode(victim), type=Record)
    next(iter(other.seen.claims.values()))["results"][0]["device"] = "another"
    code, printed = replayed(tmp_path, [*AS_PREDICTED, other])
    assert code == 1
    assert msgspec.json.decode(printed, type=dict)["disagreements"] == 1
    [kept] = (tmp_path / "predict-disagreements").iterdir()
    record = msgspec.json.decode(kept.read_bytes(), type=Record)
    assert record.seen == other.seen
    assert predict(record.case, 37).agrees(victim.seen)


def test_the_rules_of_another_version_are_noticed() -> None:
    """1.36 and 1.37 differ in the table of rules, and some of the cases tell."""
    assert RULES[36] != RULES[37]
    assert any(not predict(one.case, 36).agrees(one.seen) for one in AS_PREDICTED)


def test_a_case_whose_devices_all_nodes_reach_is_played_alone() -> None:
    everywhere = msgspec.structs.replace(
        CASES[0], slices=[{"metadata": {"name": "s"}, "spec": {**CASES[0].slices[0]["spec"], "allNodes": True}}]
    )
    made = list(batches([*CASES[1:4], everywhere, *CASES[4:7]], 100))
    assert made[-1] == [everywhere]
    assert sum(map(len, made)) == 7


def test_an_unsound_pool_of_counters_meets_no_case_with_sound_ones() -> None:
    counted = next(case for case in CASES if any(one["spec"].get("sharedCounters") for one in case.slices))
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 99}
    broken = [{**one, "spec": {**one["spec"], "pool": pool}} for one in counted.slices]
    damaged = msgspec.structs.replace(counted, slices=broken)
    sound = [case for case in CASES if case is not counted and unsound_pool(view(case, 36).slices) is None][:3]
    assert list(batches([damaged, *sound], 100)) == [sound, [damaged]]
