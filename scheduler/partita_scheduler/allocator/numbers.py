"""Large values that are compared often, as numbers."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count

MAX_NUMBERS = 100_000
"""Values remembered at a time."""


class Numbers:
    """Values to numbers, equal values to equal ones. A number is never used again for another value. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}
        self._next = count(1)

    def of(self, value: Hashable) -> int:
        found = self._known.get(value)
        if found is None:
            if len(self._known) >= MAX_NUMBERS:
                self._known.clear()
            # Each step is atomic, and no number is read that another thread could have taken meanwhile.
            found = self._known.setdefault(value, next(self._next))
        return found
