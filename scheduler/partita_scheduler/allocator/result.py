"""What a search gives: the chosen devices, or why it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from partita_plugins.errors import Permanent, Retryable
from partita_scheduler.allocator.plan import RequestPlan

MAX_DEVICES = 200
"""Of all claims of a pod together: the depth of the recursion."""


class Abort(Permanent):
    """kube-scheduler gives up on the pod here, whatever other nodes have."""


class Unsure(Permanent):
    """It depends on a gate of kube-scheduler that nobody can ask for: no opinion."""


class OutOfSteps(Retryable):
    """The search was longer than we want to wait for: no opinion."""


class Budget:
    """Devices that may still be looked at."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def spend(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise OutOfSteps("the search for devices took too long")


@dataclass(frozen=True, slots=True)
class Pick:
    """One device chosen for a request."""

    request: RequestPlan
    pool: int
    device: int
    consumed: tuple[tuple[str, Decimal], ...] | None
    """What the share consumes; None for a device held whole."""
