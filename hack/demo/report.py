"""What is said when a step fails: which step, what happened, and the last lines of the logs that tell most."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from hack.demo.errors import DemoError
from hack.demo.processes import Process
from hack.demo.show import Screen

TAIL_LINES = 12


def show_failure(screen: Screen, processes: Sequence[Process], error: Exception) -> None:
    """To be called before the processes are ended."""
    screen.line()
    screen.line(f"FAILED in step {screen.current}: {error}", "red", "bold")
    if not isinstance(error, DemoError):
        screen.block("".join(traceback.format_exception(error)), "dim")
    for process in concerned(processes, error):
        state = "running" if process.running else "not running"
        screen.line(f"log of {process.name} ({state}):", "bold")
        for line in process.lines()[-TAIL_LINES:]:
            screen.line(f"  {line}")


def concerned(processes: Sequence[Process], error: Exception) -> list[Process]:
    """The process that the error names, and those that ended by themselves; without either, all."""
    named = error.process if isinstance(error, DemoError) else ""
    return [one for one in processes if one.name == named or one.ended] or list(processes)
