"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from hack.demo.errors import DemoError

T = TypeVar("T")

PAUSE_SECONDS = 0.05
DEADLINE_SECONDS = 30.0


def until(
    what: str,
    probe: Callable[[], T | None],
    *,
    seconds: float = DEADLINE_SECONDS,
    process: str | Callable[[], str] = "",
) -> T:
    """The first answer of `probe` that is not false. Raises DemoError that says what was awaited."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise DemoError(
                f"not within {seconds:g} s: {what}", process=process if isinstance(process, str) else process()
            )
        time.sleep(PAUSE_SECONDS)
    return answer
