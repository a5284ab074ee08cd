"""Results for people and for programs: progress, the table of points and modes, JSON lines."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hack.robustness.campaign.results import Result
from hack.robustness.invariants import Harm

LINE_SECONDS = 10.0
"""Between lines of progress where there is no terminal."""

LEGEND = "leaked double-booked lost recovery-p99; all three counts must be 0. FAILED: it did not recover, or see below."


class Progress:
    """Says how far the campaign is: on a terminal in place, elsewhere a line now and then."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._failed = total, 0, 0
        self._began = self._said = time.monotonic()
        self._in_place = sys.stderr.isatty()

    def add(self, result: Result) -> None:
        self._done += 1
        self._failed += not result.well
        if not result.well:
            print(f"FAILED {result.point} in {result.mode}: {result.problems[0].found}", file=sys.stderr, flush=True)
        now = time.monotonic()
        if self._in_place or now - self._said >= LINE_SECONDS or self._done == self._total:
            self._said = now
            self._say(now - self._began)

    def _say(self, seconds: float) -> None:
        left = seconds / self._done * (self._total - self._done)
        text = f"{self._done}/{self._total} cells, {self._failed} failed, {seconds:.0f} s, about {left:.0f} s left"
        end = "\n" if not self._in_place or self._done == self._total else ""
        print(f"\r{text:78}" if self._in_place else text, end=end, file=sys.stderr, flush=True)


def p99(seconds: Iterable[float]) -> float | None:
    """The smallest figure that 99 % do not exceed; None of nothing."""
    ordered = sorted(seconds)
    return ordered[math.ceil(0.99 * len(ordered)) - 1] if ordered else None


def table(results: Sequence[Result]) -> str:
    """Points down, modes across."""
    points, modes = (list(dict.fromkeys(getattr(one, of) for one in results)) for of in ("point", "mode"))
    rows = [["", *modes]]
    rows += ([point, *(_summary(_only(results, point, mode)) for mode in modes)] for point in points)
    rows.append(["all", *(_summary(_only(results, None, mode)) for mode in modes)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(modes) + 1)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", LEGEND])


def failures(results: Iterable[Result]) -> str:
    """What is wrong with each failing cell, where its folder is, and how to play it again."""
    blocks = []
    for one in results:
        if not one.well:
            found = [f"  {problem.harm or 'not recovered'}: {problem.found}" for problem in one.problems]
            blocks.append(
                "\n".join([f"{one.point} in {one.mode}:", *found, f"  kept: {one.folder}", f"  {one.command}"])
            )
    return "\n\n".join(blocks)


def write_json(path: Path, results: Iterable[Result]) -> None:
    """One line for each cell."""
    path.write_text("".join(json.dumps(one.as_json()) + "\n" for one in results), encoding="utf-8")


def _only(results: Iterable[Result], point: str | None, mode: str) -> list[Result]:
    wanted: Callable[[Result], bool] = lambda one: one.mode == mode and point in (None, one.point)  # noqa: E731
    return [one for one in results if wanted(one)]


def _summary(results: Sequence[Result]) -> str:
    if not results:
        return "-"
    counts = " ".join(
        str(sum(one.count(harm) for one in results)) for harm in (Harm.LEAKED, Harm.DOUBLE_BOOKED, Harm.LOST)
    )
    longest = p99(one.recovery_seconds for one in results if one.recovery_seconds is not None)
    failed = "" if all(one.well for one in results) else " FAILED"
    return f"{counts} {'never' if longest is None else f'{longest:.2f}s'}{failed}"
