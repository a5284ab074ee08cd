"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

WAIT_SECONDS = 60.0
"""For what comes at once where nothing else runs: only a test that fails waits so long."""

POLL_SECONDS = 0.01


def eventually(check: Callable[[], object], seconds: float = WAIT_SECONDS) -> bool:
    """Whether it comes true within the time."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() >= end:
            return bool(check())
        time.sleep(POLL_SECONDS)
    return True


def until(check: Callable[[], object]) -> None:
    """Until it comes true; the test fails where it does not."""
    assert eventually(check), "it did not happen"
