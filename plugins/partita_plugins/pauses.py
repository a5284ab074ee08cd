"""How long to wait before the next try or look, spread by chance: the drivers of 500 nodes must not ask in step."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from partita_plugins.errors import Retryable

Draw = Callable[[], float]
"""A random number, from 0 up to but not including 1."""

by_chance: Draw = random.SystemRandom().random

SPREAD = 0.5
"""What chance adds to a pause at most, as a part of it. Never less than the pause: a server may have asked for it."""

DOUBLINGS_MAX = 32


def spread(seconds: float, draw: Draw) -> float:
    """At least so many seconds, and up to half as many more."""
    return seconds * (1.0 + SPREAD * draw())


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that doubles from try to try, up to a longest one."""

    first_seconds: float
    longest_seconds: float

    def after(self, tries: int) -> float:
        """Seconds after so many tries in a row; the first pause follows the first of them."""
        return min(self.first_seconds * 2.0 ** min(tries - 1, DOUBLINGS_MAX), self.longest_seconds)


class Backoff:
    """Counts tries in a row that were in vain. For one caller at a time."""

    def __init__(self, pause: Pause, draw: Draw) -> None:
        self._pause, self._draw = pause, draw
        self._tries = 0

    def next_seconds(self, error: Exception | None = None) -> float:
        """Another try was in vain: seconds until the next. Never sooner than a Retryable error says."""
        self._tries += 1
        seconds = self._pause.after(self._tries)
        if isinstance(error, Retryable):
            seconds = max(seconds, error.delay_seconds)
        return spread(seconds, self._draw)

    def reset(self) -> None:
        """The next try in vain is the first again."""
        self._tries = 0
