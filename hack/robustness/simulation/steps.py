"""One step of a run: an operation with numbers, which decide on whom and how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: who it hits, how much, and what passes until the next."""

    operation: str
    pick: float
    """0 to 1: which of those there are."""

    amount: float
    """0 to 1: which kind, how long."""

    pause_seconds: float


def chosen(items: Sequence[T], share: float) -> T:
    """The item at that share of the list."""
    return items[min(int(share * len(items)), len(items) - 1)]
