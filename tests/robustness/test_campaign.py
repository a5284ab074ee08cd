"""The campaign: it reaches every point in every mode, it plays, and it says what it found."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hack.robustness.campaign.__main__ import main
from hack.robustness.campaign.modes import MODES
from hack.robustness.campaign.results import Problem, Result
from hack.robustness.campaign.run import full, quick, scenes_seen
from hack.robustness.campaign.scenes import SCENES
from hack.robustness.campaign.table import failures, p99, table
from hack.robustness.full_disk import full_disk
from hack.robustness.invariants import Harm

from partita_driver.fault_points import POINTS

ROOT = Path(__file__).parents[2]


def test_the_campaign_knows_the_way_to_every_point() -> None:
    assert SCENES.keys() == POINTS.keys()


def test_the_quick_part_meets_every_point_and_every_mode() -> None:
    plans = quick(list(POINTS), list(MODES), seed=0)
    assert {plan.point for plan in plans} == POINTS.keys()
    assert {plan.mode for plan in plans} == MODES.keys()


def test_all_of_it_plays_every_scene_of_points_that_have_no_more_than_there_are_modes() -> None:
    seen = set(scenes_seen(full(POINTS, MODES, [0])))
    few = {point: scenes for point, scenes in SCENES.items() if len(scenes) <= len(MODES)}
    assert {(point, n) for point, scenes in few.items() for n in range(len(scenes))} <= seen


def test_a_driver_killed_for_real_is_judged(tmp_path: Path) -> None:
    cells = ("--point", "done-create-gpu-instance", "--mode", "lost-writes", "--mode", "disk-fills")
    done = subprocess.run(
        [sys.executable, "-m", "hack.robustness.campaign", *cells],
        cwd=ROOT,
        env={**os.environ, "CHAOS_JSON": str(tmp_path / "lines")},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert [(line["mode"], line["recovered"]) for line in lines] == [("lost-writes", True), ("disk-fills", True)]
    assert all(line["recovery_seconds"] > 0 for line in lines)
    assert all(line[harm] == 0 for line in lines for harm in ("leaked", "double_booked", "lost"))


def test_the_points_are_listed_with_what_is_true_there() -> None:
    listed = CliRunner().invoke(main, ["--list"]).output
    assert all(f"{meaning}\n" in listed for meaning in [*POINTS.values(), *(mode.meaning for mode in MODES.values())])


def test_a_point_that_there_is_not_is_an_error_that_says_where_the_names_are() -> None:
    done = CliRunner().invoke(main, ["--point", "mad"])
    assert done.exit_code == 2
    assert "mad: `hack/chaos --list` has the names" in done.output


def result(mode: str, seconds: float | None, *problems: Problem) -> Result:
    return Result(point="made", mode=mode, seed=3, problems=list(problems), recovery_seconds=seconds)


def test_the_table_counts_by_harm_and_says_what_failed() -> None:
    leak = Problem(Harm.LEAKED, "a GPU instance is still there")
    shown = table([result("restart", 0.25), result("reboot", 0.5, leak, leak), result("api-gone", None)])
    assert "made  0 0 0 0.25s  2 0 0 0.50s FAILED  0 0 0 never FAILED" in shown


def test_a_failing_cell_prints_what_was_found_and_the_command_that_plays_it_again() -> None:
    told = failures([result("restart", 0.25), result("reboot", 0.5, Problem(Harm.LOST, "claim c is gone"))])
    assert "lost: claim c is gone" in told
    assert "hack/chaos --point made --mode reboot --seed 3" in told
    assert "restart" not in told


@pytest.mark.parametrize("harm", [None, Harm.UNSAFE])
def test_what_the_three_counts_do_not_show_is_not_recovered(harm: Harm | None) -> None:
    assert result("restart", 0.2).recovered
    assert not result("restart", 0.2, Problem(harm, "a retry was refused")).recovered


def test_p99_is_a_figure_that_was_measured() -> None:
    assert p99([]) is None
    assert p99(float(n) for n in range(1, 101)) == 99.0
    assert p99([0.5, 0.1]) == 0.5


def test_a_full_disk_refuses_what_is_written_below_the_folder_and_nothing_else(tmp_path: Path) -> None:
    (folder := tmp_path / "full").mkdir()
    with full_disk(folder, lambda: True):
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (folder / "a").write_bytes(b"data")
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (folder / "b").write_text("data")
        (tmp_path / "c").write_bytes(b"data")
        assert (folder / "a").read_bytes() == b""
    (folder / "a").write_bytes(b"data")
