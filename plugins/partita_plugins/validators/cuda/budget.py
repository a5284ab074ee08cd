"""How long a look may go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Until a point in time, or until it is given up."""

    ends: float
    """As `clock` tells it."""

    clock: Callable[[], float]
    given_up: Callable[[], bool]

    def over(self) -> bool:
        return self.given_up() or self.clock() >= self.ends

    def within(self, seconds: float) -> Budget:
        """The same, but so many seconds from now at most."""
        return Budget(ends=min(self.ends, self.clock() + seconds), clock=self.clock, given_up=self.given_up)

    def share(self, share: float) -> Budget:
        """The same, but for a share of the time that is left."""
        return self.within(share * (self.ends - self.clock()))
