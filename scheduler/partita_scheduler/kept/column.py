"""Every node's answer to one kind of question, and its rank. A changed node costs its own answer alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from partita_plugins.contracts import Workload
from partita_plugins.errors import InvalidInput
from partita_scheduler.allocator.in_use import PoolId, PoolUse
from partita_scheduler.allocator.result import Budget
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.kept.fleet import Fleet
from partita_scheduler.policy.extended import without_own
from partita_scheduler.policy.node import STEPS_PER_NODE, Judgement
from partita_scheduler.policy.question import Question
from partita_scheduler.policy.row import row
from partita_scheduler.reasons import Reason
from partita_scheduler.scoring.ranking import Rank, Scoring, ranking_of

MAX_ANSWERS = 20_000
"""Contents whose answer is remembered by one column."""

_LATE = Judgement(undecided=True, reasons=(Reason("undecided", "no opinion: the search for devices took too long"),))


@dataclass(frozen=True, slots=True)
class Kept:
    """One content's answer: `extended` and `refusal` as in policy.decision.Row."""

    found: Judgement
    extended: bool
    refusal: str
    rank: int
    """Number of its rank in this column; -1 where it does not fit."""


_NOTHING = Kept(_LATE, extended=False, refusal="", rank=-1)


@dataclass(frozen=True, slots=True)
class Ranks:
    """What the order of nodes comes from. Nobody changes its parts."""

    of: np.ndarray
    """Each node's rank by number; -1 where it does not fit."""

    figures: np.ndarray
    """The ranks as rows."""

    scoring: Scoring
    workload: Workload

    def grades(self, fitting: np.ndarray) -> np.ndarray:
        """The grade of each of these nodes among them, 0 the best, equal for equals."""
        ranks = self.of[fitting]
        nodes = np.bincount(ranks, minlength=len(self.figures))
        had = np.flatnonzero(nodes)
        found: np.ndarray = np.zeros(len(nodes), dtype=np.int64)
        if len(had):
            found[had] = ranking_of(self.scoring).grades(self.figures[had], nodes[had], self.workload)
        return np.asarray(found[ranks])


class Column:
    """The answers to all questions of one shape. Not thread-safe."""

    def __init__(self, asked: Question, fleet: Fleet) -> None:
        self.answers: list[Kept] = []
        """By node number; of nodes that are not stale."""

        self.stale: set[int] = set()
        self.asked, self._fleet = asked, fleet
        self._by_content: dict[Hashable, Kept] = {}
        self._ranks: dict[Rank, int] = {}
        self._figures = np.empty((0, 0))
        """The ranks as rows."""

        self._rank_of = np.empty(0, dtype=np.int64)
        self.grow()

    def grow(self) -> None:
        """Take in the nodes that came."""
        new = range(len(self.answers), len(self._fleet.contents))
        if new:
            self.stale.update(new)
            self.answers.extend([_NOTHING] * len(new))
            self._rank_of = np.concatenate([self._rank_of, np.full(len(new), -1, dtype=np.int64)])

    def refresh(
        self, view: ClusterView, uses: Mapping[PoolId, PoolUse], budget: Budget, *, most: int | None = None
    ) -> None:
        """Answer for nodes that changed, at most so many new contents; the rest stays stale."""
        new = 0
        for number in list(self.stale):
            content = self._content(number, view)
            found = self._by_content.get(content)
            if found is None:
                if budget.steps <= 0 or (most is not None and new >= most):
                    continue
                new += 1
                final = budget.steps >= STEPS_PER_NODE
                found = self._answer(number, view, uses, budget)
                if not final and found.found.undecided:
                    continue
                if len(self._by_content) >= MAX_ANSWERS:
                    self._by_content.clear()
                self._by_content[content] = found
            self.stale.discard(number)
            self._put(number, found)

    def give_up(self) -> None:
        """No opinion on the nodes that are still stale."""
        for number in self.stale:
            self._put(number, _NOTHING)

    @property
    def overgrown(self) -> bool:
        """Whether it has seen so much that a new column is better."""
        return len(self._ranks) > MAX_ANSWERS

    def _content(self, number: int, view: ClusterView) -> Hashable:
        content = self._fleet.contents[number]
        extended = self.asked.needs.extended
        node = view.nodes.get(self._fleet.name(number))
        if not extended or node is None:
            return content
        try:
            return content, without_own(node, extended)
        except InvalidInput as error:
            return content, str(error)

    def _answer(self, number: int, view: ClusterView, uses: Mapping[PoolId, PoolUse], budget: Budget) -> Kept:
        found = row(view, self.asked, self._fleet.name(number), uses, budget)
        rank = -1
        if found.fits:
            rank = self._ranks.setdefault(found.found.rank, len(self._ranks))
        return Kept(found.found, found.extended, found.refusal, rank)

    def _put(self, number: int, found: Kept) -> None:
        self.answers[number] = found
        self._rank_of[number] = found.rank

    def ranks(self, view: ClusterView) -> Ranks:
        """The ranks as they are now."""
        if len(self._figures) < len(self._ranks):
            self._figures = np.array(list(self._ranks))
        return Ranks(self._rank_of.copy(), self._figures, view.scoring, view.workload)
