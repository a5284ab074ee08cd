"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from hack.demo.errors import DemoError

T = TypeVar("T")
Words = str | Callable[[], str]
"""Said when time has run out: words, or what makes them then."""

PAUSE_SECONDS = 0.05
DEADLINE_SECONDS = 60.0


def until(what: Words, probe: Callable[[], T | None], *, seconds: float = DEADLINE_SECONDS, process: Words = "") -> T:
    """The first answer of `probe` that is not false. Raises DemoError that says what was awaited."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise DemoError(f"not within {seconds:g} s: {_said(what)}", process=_said(process))
        time.sleep(PAUSE_SECONDS)
    return answer


def _said(words: Words) -> str:
    return words if isinstance(words, str) else words()
