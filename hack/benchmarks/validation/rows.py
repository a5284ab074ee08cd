"""What hack/bench validate prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hack.benchmarks.validation.baselines import Outcome
from hack.benchmarks.validation.law import Idle, Law
from hack.benchmarks.validation.rig import METHODS

from partita_plugins.contracts import Depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One fault, and what each method made of it."""

    fault: str
    place: str
    seed: int
    outcomes: dict[str, Outcome]


def rows(found: Sequence[Planted]) -> list[dict[str, object]]:
    """One for each fault and method."""
    return [
        {
            "bench": "validate",
            "fault": one.fault,
            "method": method,
            "found": outcome.found,
            "coverage": round(outcome.coverage, 4),
            "place": one.place,
            "seed": one.seed,
        }
        for one in found
        for method, outcome in one.outcomes.items()
    ]


def table(found: Sequence[Planted]) -> list[dict[str, object]]:
    """Found of planted, by class and method."""
    counted = []
    for name in dict.fromkeys(one.fault for one in found):
        outcomes = [one.outcomes for one in found if one.fault == name]
        counts = {method: sum(each[method].found for each in outcomes) for method in METHODS}
        counted.append({"fault": name, "planted": len(outcomes), **counts})
    return counted


def law_row(found: Law, depth: Depth, share: float) -> dict[str, object]:
    """Coverage, and what was found beside where that should be."""
    fewest, most = found.interval
    return {
        "bench": "validate-law",
        "depth": depth.value,
        "budget_share": share,
        "faults": found.faults,
        "coverage": round(found.coverage, 4),
        "found_share": round(found.found / found.faults, 4),
        "interval_low": round(fewest / found.faults, 4),
        "interval_high": round(most / found.faults, 4),
        "holds": found.holds,
    }


def idle_row(found: Idle, share: float) -> dict[str, object]:
    """How many looks it took."""
    return {
        "bench": "validate-idle",
        "budget_share": share,
        "looks": found.looks,
        "reported_coverage": round(found.reported, 4),
        "covered": round(found.covered, 4),
    }
