"""Large values that are compared often, as numbers."""

from __future__ import annotations

from collections.abc import Hashable

MAX_NUMBERS = 100_000
"""Values remembered at a time."""


class Numbers:
    """Values to numbers, equal values to equal ones. A number is never used again for another value."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}
        self._next = 0

    def of(self, value: Hashable) -> int:
        found = self._known.get(value)
        if found is None:
            if len(self._known) >= MAX_NUMBERS:
                self._known.clear()
            self._next += 1
            found = self._known[value] = self._next
        return found
