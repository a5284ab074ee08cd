"""What the runs together have reached, and what they have not: an unreached thing is a hole in the simulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hack.robustness.simulation.operations import OPERATIONS, POINTS

from partita_driver.lifecycle import TRANSITIONS

GROUPS = {
    "operation": tuple(OPERATIONS),
    "point": POINTS,
    "kill": ("anywhere", *(f"at {point}" for point in POINTS)),
    "transition": tuple(f"{state} {event}" for state, events in TRANSITIONS.items() for event in events),
}
"""Everything that should be reached, by the first word of its count."""


def table(reached: Counter[str]) -> Iterable[str]:
    """One line for each group: how often each was reached, the rarest first."""
    for group, names in GROUPS.items():
        counts = sorted((reached[f"{group} {name}"], name) for name in names)
        missing = [name for count, name in counts if not count]
        met = ", ".join(f"{name} {count}" for count, name in counts if count)
        yield f"{group}s: {len(names) - len(missing)} of {len(names)} reached: {met}"
        if missing:
            yield f"  never reached: {', '.join(missing)}"
