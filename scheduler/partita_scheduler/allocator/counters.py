"""Counters of a pool: what a set of devices in use leaves, and reservations during a search."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from partita_scheduler.allocator.in_use import PoolUse

CounterKey = tuple[str, str]
"""(counter set, counter)."""

Consumption = tuple[tuple[CounterKey, Decimal], ...]


def left(
    totals: Mapping[CounterKey, Decimal], consumers: Mapping[str, Consumption], use: PoolUse
) -> dict[CounterKey, Decimal]:
    """Totals minus what devices in use consume, as far as the current slices still have them. May be negative."""
    remaining = dict(totals)
    for name in (*use.whole, *(use.shares.keys() - use.whole)):
        for key, value in consumers.get(name, ()):
            if key in remaining:
                remaining[key] -= value
    return remaining


class Ledger:
    """Counters of one pool while a search runs."""

    def __init__(self, available: Mapping[CounterKey, Decimal]) -> None:
        self._available = available
        self._reserved: dict[CounterKey, Decimal] = {}
        # One overdrawn counter blocks every counted device of the pool, as in kube-scheduler.
        self._overdrawn = bool(available) and min(available.values()) < 0

    def reserve(self, consumption: Consumption) -> bool:
        """Reserve all or nothing."""
        if self._overdrawn:
            return False
        reserved, available = self._reserved, self._available
        for key, value in consumption:
            total = reserved.get(key, 0) + value
            if key in available and total > available[key]:
                return False
        for key, value in consumption:
            reserved[key] = reserved.get(key, Decimal(0)) + value
        return True

    def has_alone(self, consumption: Consumption) -> bool:
        """Whether there is enough if nothing of this search were reserved."""
        available = self._available
        return not self._overdrawn and all(available.get(key, value) >= value for key, value in consumption)

    def release(self, consumption: Consumption) -> None:
        for key, value in consumption:
            self._reserved[key] -= value
