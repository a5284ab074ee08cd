"""What came of a cell: counts by harm, and sentences for a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hack.robustness.invariants import Harm


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    harm: Harm | None
    """None: the driver did not recover as it should, and nothing else is known of it."""

    found: str


@dataclass(slots=True, kw_only=True)
class Result:
    """One point in one mode."""

    point: str
    mode: str
    seed: int
    problems: list[Problem] = field(default_factory=list)
    recovery_seconds: float | None = None
    """From the start of the process until it serves; None: it never did."""

    folder: Path | None = None
    """Kept because something is wrong."""

    def count(self, harm: Harm) -> int:
        """Problems of one harm."""
        return sum(problem.harm is harm for problem in self.problems)

    @property
    def recovered(self) -> bool:
        """Ready again, and everything that was to work afterwards worked."""
        return self.recovery_seconds is not None and all(
            problem.harm not in (None, Harm.UNSAFE) for problem in self.problems
        )

    @property
    def well(self) -> bool:
        return self.recovered and not self.problems

    @property
    def command(self) -> str:
        """What replays just this cell."""
        return f"hack/chaos --point {self.point} --mode {self.mode} --seed {self.seed}"

    def as_json(self) -> dict[str, object]:
        """As CHAOS_JSON has it."""
        return {
            "point": self.point,
            "mode": self.mode,
            "leaked": self.count(Harm.LEAKED),
            "double_booked": self.count(Harm.DOUBLE_BOOKED),
            "lost": self.count(Harm.LOST),
            "recovered": self.recovered,
            "recovery_seconds": self.recovery_seconds,
            "seed": self.seed,
        }
