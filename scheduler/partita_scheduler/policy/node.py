"""Nodes for one pod: how good what would be taken there is, worked out once for equal machines with as much CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from partita_plugins.contracts import Workload
from partita_scheduler.policy.taking import Picks, Taking, words
from partita_scheduler.reasons import Reason
from partita_scheduler.scoring.cpu import NOT_COUNTED, Cpu
from partita_scheduler.scoring.ranking import DEFAULT_SCORING, Rank, Scoring, ranking_of

MAX_REMEMBERED = 10_000
"""Of one outlook; the kept state remembers its own."""

MAX_OUTLOOKS = 2
"""The one in force, and that of a workload just learned."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """By what nodes are judged, beside what they have."""

    scoring: Scoring
    workload: Workload


@dataclass(frozen=True, slots=True)
class Judgement:
    """What holds for every node with the same content, use and CPU."""

    taking: Taking | None = None
    reasons: tuple[Reason, ...] = ()
    undecided: bool = False
    rank: Rank = ()
    """Figures; the order comes from all candidates' together (scoring.Ranking.grades)."""

    cpu: Cpu = NOT_COUNTED
    scoring: Scoring = DEFAULT_SCORING

    @property
    def picks(self) -> Picks | None:
        """None: it does not fit, or nobody knows."""
        return self.taking.picks if self.taking else None

    @property
    def whole(self) -> tuple[int, ...]:
        """GPUs that the pod gets entirely."""
        return self.taking.outcome.whole if self.taking else ()

    @property
    def nvlink(self) -> bool:
        """Whether every two of them are joined by NVLink."""
        return self.taking is None or self.taking.nvlink

    @property
    def explanation(self) -> str:
        """In plain words; made when somebody asks for it."""
        return words(self.taking, self.scoring) if self.taking else ""


_remembered: dict[Outlook, dict[tuple[Taking, Cpu], Judgement]] = {}


def judge(takings: Sequence[tuple[Taking, Cpu]], outlook: Outlook) -> list[Judgement]:
    """The judgement of each, from memory where an equal one was judged; all others are measured at once."""
    known = _remembered.get(outlook, {})
    new = [one for one in dict.fromkeys(takings) if one not in known]
    if len(known) + len(new) > MAX_REMEMBERED:
        known, new = {}, list(dict.fromkeys(takings))
    if new:
        ranks = ranking_of(outlook.scoring).ranks(
            [taking.place for taking, _ in new],
            [taking.outcome for taking, _ in new],
            [cpu for _, cpu in new],
            outlook.workload,
        )
        for (taking, cpu), rank in zip(new, ranks, strict=True):
            known[taking, cpu] = Judgement(taking, rank=rank, cpu=cpu, scoring=outlook.scoring)
        if outlook not in _remembered and len(_remembered) >= MAX_OUTLOOKS:
            _remembered.clear()
        _remembered[outlook] = known
    return [known[one] for one in takings]
