"""Where a step of the demo fails, it says which, and what the process concerned has logged."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hack.demo.errors import DemoError
from hack.demo.processes import Process
from hack.demo.report import concerned, show_failure
from hack.demo.show import Screen
from hack.demo.waiting import until


@pytest.fixture
def processes(tmp_path: Path) -> list[Process]:
    """None of them started; their logs tell their names."""
    found = []
    for name in ("driver", "extender", "other"):
        log = tmp_path / name
        log.write_text(f"{name} said this\n", encoding="utf-8")
        found.append(Process(name, [], log))
    return found


def test_the_log_of_the_process_concerned_is_shown(processes: list[Process]) -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.step("do something")
    show_failure(screen, processes, DemoError("it did not work", process="driver"))
    text = out.getvalue()
    assert "FAILED in step 1, do something: it did not work" in text
    assert "driver said this" in text
    assert "extender said this" not in text


def test_without_a_process_to_blame_all_logs_are_shown(processes: list[Process]) -> None:
    assert concerned(processes, DemoError("who knows")) == processes


def test_an_error_of_the_demo_itself_shows_where(processes: list[Process]) -> None:
    out = io.StringIO()
    with pytest.raises(KeyError) as caught:
        _ = {"here": 1}["missing"]
    show_failure(Screen(out), processes, caught.value)
    assert "test_failures.py" in out.getvalue()


def test_a_process_that_ends_by_itself_is_blamed(tmp_path: Path) -> None:
    process = Process("driver", ["no_such_module"], tmp_path / "log")
    process.start()
    assert process.wait_stopped() == "driver ended with exit code 1"
    assert "no_such_module" in "".join(process.lines())
    with pytest.raises(DemoError, match="driver ended with exit code 1") as caught:
        process.check()
    assert caught.value.process == "driver"
    assert concerned([process], caught.value) == [process]


def test_what_was_awaited_is_said_when_time_runs_out() -> None:
    with pytest.raises(DemoError, match=r"not within 0 s: pods to run, of 2") as caught:
        until(lambda: "pods to run, of 2", lambda: None, seconds=0, process=lambda: "driver")
    assert caught.value.process == "driver"
    assert until("nothing", lambda: sys.maxsize) == sys.maxsize
