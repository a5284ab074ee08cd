"""Fewer steps that still break the same invariant: what a person wants to read."""

from __future__ import annotations

import time
from collections.abc import Callable

from hack.robustness.simulation.steps import Step

BUDGET_SECONDS = 10.0


def shortened(steps: tuple[Step, ...], breaks: Callable[[tuple[Step, ...]], bool]) -> tuple[Step, ...]:
    """Leave out ever smaller stretches as long as `breaks` says that it still does; stops when its time is up."""
    end = time.monotonic() + BUDGET_SECONDS
    length = max(1, len(steps) // 2)
    while True:
        start = 0
        while start < len(steps) and time.monotonic() < end:
            fewer = steps[:start] + steps[start + length :]
            if breaks(fewer):
                steps = fewer
            else:
                start += length
        if length == 1 or time.monotonic() >= end:
            return steps
        length //= 2
