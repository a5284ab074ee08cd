"""Which scorers judge, in which order and with which weight: the `scorers` of the settings file.

scorers:                   # most important first: a later line decides only among nodes that are equal to all before it
- {topology: 1}
- {memory: 1}
- {fragmentation: 1, leftovers: 1}    # in one line scores are added, each times its weight
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np

from partita_plugins.contracts import Counts, Floats, Measures, NodeState, Outcome, Scorer, Workload
from partita_plugins.errors import InvalidInput
from partita_plugins.registry import load
from partita_scheduler.scoring.cpu import NOT_COUNTED, Cpu, with_cpu

Rank = tuple[float, ...]
"""What a node is judged by: the place of its alternatives, then the figures of every scorer."""

Line = tuple[tuple[str, float], ...]
"""Names of scorers with their weights, by name."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """Names and weights; lines decide one after the other."""

    lines: tuple[Line, ...] = (
        (("topology", 1.0),),
        (("memory", 1.0),),
        (("fragmentation", 1.0), ("leftovers", 1.0)),
    )


DEFAULT_SCORING = Scoring()

_NOTHING = Outcome(before=NodeState(gpus={}), after=NodeState(gpus={}), slots=(), whole=(), asked_mib=0, granted_mib=0)

_DIGITS = 6
"""Of a line's sum: nodes alike must be equal whatever the order of the additions."""


class Ranking:
    """The scorers that a Scoring names."""

    def __init__(self, scoring: Scoring) -> None:
        self._scorers = {
            name: cast("Scorer", load("partita.scorers", name)()) for line in scoring.lines for name, _ in line
        }
        self._lines = scoring.lines
        first = 1
        self._columns: dict[str, slice] = {}
        for name, scorer in self._scorers.items():
            width = scorer.measure([_NOTHING], Workload()).shape[1]
            self._columns[name] = slice(first, first + width)
            first += width

    def prepare(self, workload: Workload) -> None:
        """Let every scorer work out the workload: the first node that is judged by it pays for that otherwise."""
        self.ranks([0.0], [_NOTHING], [NOT_COUNTED], workload)

    def ranks(
        self, places: Sequence[float], outcomes: Sequence[Outcome], cpus: Sequence[Cpu], workload: Workload
    ) -> list[Rank]:
        """Figures of each node. `places` are those of its alternatives, best first; `outcomes` tell no CPU, and are one
        object for nodes that differ by nothing else."""
        kinds = {id(one): one for one in outcomes}
        kind_of = dict(zip(kinds, range(len(kinds)), strict=True))
        rows = [kind_of[id(one)] for one in outcomes]
        counted = [with_cpu(one, cpu) for one, cpu in zip(outcomes, cpus, strict=True)]
        figures = [
            scorer.measure(counted, workload)
            if scorer.counts_cpu
            else scorer.measure(list(kinds.values()), workload)[rows]
            for scorer in self._scorers.values()
        ]
        found: dict[Rank, Rank] = {}  # A fleet has few that differ: equal ones are one object.
        return [found.setdefault(rank, rank) for rank in map(tuple, np.column_stack([places, *figures]).tolist())]

    def grades(self, ranks: Measures, nodes: Counts, workload: Workload) -> Counts:
        """The place of each rank among all, 0 the best, equal for equals. `nodes` says how many have it."""
        if not len(ranks):
            return np.zeros(0, dtype=np.int64)
        keys = [ranks[:, 0], *(self._line(line, ranks, nodes, workload) for line in self._lines)]
        order = np.lexsort(keys[::-1])
        differs = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
        found = np.empty(len(order), dtype=np.int64)
        found[order] = np.concatenate([[0], np.cumsum(differs)])
        return found

    def _line(self, line: Line, ranks: Measures, nodes: Counts, workload: Workload) -> Floats:
        found = np.zeros(len(ranks))
        for name, weight in line:
            found += weight * self._scorers[name].score(ranks[:, self._columns[name]], nodes, workload)
        return found.round(_DIGITS)

    def explain(self, outcome: Outcome) -> dict[str, str]:
        """Each scorer's clause, by its name; empty ones left out."""
        clauses = {name: scorer.explain(outcome) for name, scorer in self._scorers.items()}
        return {name: clause for name, clause in clauses.items() if clause}


@lru_cache(maxsize=8)
def ranking_of(scoring: Scoring) -> Ranking:
    """The scorers of a Scoring. Raises InvalidInput that lists the scorers there are."""
    if not any(scoring.lines):
        raise InvalidInput("no scorer is named", advice="leave scorers out for the defaults")
    return Ranking(scoring)
