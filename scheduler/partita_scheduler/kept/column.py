"""Every node's answer to one kind of question, and its rank. A changed node costs its own answer alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from partita_plugins.contracts import Workload
from partita_plugins.errors import InvalidInput
from partita_scheduler.allocator.in_use import PoolId, PoolUse
from partita_scheduler.allocator.result import Budget
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.kept.fleet import Fleet
from partita_scheduler.policy.extended import without_own
from partita_scheduler.policy.node import Judgement
from partita_scheduler.policy.question import Question
from partita_scheduler.policy.row import LATE, Fit, Row, look, rows
from partita_scheduler.policy.taking import STEPS_PER_NODE
from partita_scheduler.scoring.ranking import Rank, Scoring, ranking_of

LEAST_REMEMBERED = 1_000
"""Contents whose answer a column remembers, or as many as there are nodes: each is some 2 KB, in each column."""

RANKS = 4
"""Times as many ranks are kept before a new column is better."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One content's answer: `extended` and `refusal` as in policy.decision.Row."""

    found: Judgement
    extended: bool
    refusal: str
    rank: int
    """Number of its rank in this column; -1 where it does not fit."""


_NOTHING = Kept(LATE, extended=False, refusal="", rank=-1)


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


@dataclass(frozen=True, slots=True)
class Searched:
    """What a pod would take of a content, for one column."""

    column: Column
    content: Hashable
    numbers: list[int]
    found: Row | Fit


def settle(view: ClusterView, searched: Sequence[Searched]) -> None:
    """Judge all at once, whichever columns they are for, and let each column have its answers."""
    found = rows(view, [(one.column.asked, one.found) for one in searched])
    for one, row in zip(searched, found, strict=True):
        one.column.remember(one.content, one.numbers, row)


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

    def search(
        self,
        view: ClusterView,
        uses: Mapping[PoolId, PoolUse],
        budget: Budget,
        *,
        most: int | None = None,
        late: Callable[[], bool] = lambda: False,
    ) -> list[Searched]:
        """Answer for nodes that changed and whose content was answered for before; of the others search so many
        contents, and none once it is `late`. What was searched is for `settle`; the rest stays stale."""
        looked: dict[Hashable, Searched] = {}
        alike: dict[Hashable, Row | Fit] = {}
        for number in list(self.stale):
            if most is not None and len(looked) >= most:
                break
            devices, content = self._alike(number, view)
            found = self._by_content.get(content)
            if found is not None:
                self._put(number, found)
            elif content in looked:
                looked[content].numbers.append(number)
            elif budget.steps > 0 and not late():
                final = budget.steps >= STEPS_PER_NODE
                known = alike.get(devices)
                one = self._with_cpu(known, number, view) if known else self._look(number, view, uses, budget)
                if final or isinstance(one, Fit) or not one.found.undecided:
                    alike[devices] = one
                    looked[content] = Searched(self, content, [number], one)
        return list(looked.values())

    def remember(self, content: Hashable, numbers: Iterable[int], row: Row) -> None:
        """The answer for a content, and so for these nodes."""
        rank = self._ranks.setdefault(row.found.rank, len(self._ranks)) if row.fits else -1
        if len(self._by_content) >= self._most:
            self._by_content.clear()
        found = self._by_content[content] = Kept(row.found, row.extended, row.refusal, rank)
        for number in numbers:
            self._put(number, found)

    def give_up(self) -> None:
        """No opinion on the nodes that are still stale."""
        for number in self.stale:
            self._write(number, _NOTHING)

    @property
    def overgrown(self) -> bool:
        """Whether it has seen so much that a new column is better."""
        return len(self._ranks) > RANKS * self._most

    @property
    def _most(self) -> int:
        return max(LEAST_REMEMBERED, len(self.answers))

    def _alike(self, number: int, view: ClusterView) -> tuple[Hashable, Hashable]:
        """What is equal for nodes where the same would be taken, and for those where that is as good."""
        devices, content = self._fleet.devices[number], self._fleet.contents[number]
        extended = self.asked.needs.extended
        node = view.nodes.get(self._fleet.name(number))
        if not extended or node is None:
            return devices, content
        try:
            own: Hashable = without_own(node, extended)
        except InvalidInput as error:
            own = str(error)
        return (devices, own), (content, own)

    def _look(self, number: int, view: ClusterView, uses: Mapping[PoolId, PoolUse], budget: Budget) -> Row | Fit:
        # Watches change the slices meanwhile: an answer by others than the content tells would be other nodes' too.
        return look(view, self.asked, self._fleet.name(number), uses, budget, known=self._fleet.offered[number])

    def _with_cpu(self, known: Row | Fit, number: int, view: ClusterView) -> Row | Fit:
        """What was found of a node with the same devices."""
        return known.on(self._fleet.name(number), view) if isinstance(known, Fit) else known

    def _put(self, number: int, found: Kept) -> None:
        self.stale.discard(number)
        self._write(number, found)

    def _write(self, number: int, found: Kept) -> None:
        self.answers[number] = found
        self._rank_of[number] = found.rank

    def ranks(self, view: ClusterView) -> Ranks:
        """The ranks as they are now."""
        if len(self._figures) < len(self._ranks):
            self._figures = np.array(list(self._ranks))
        return Ranks(self._rank_of.copy(), self._figures, view.scoring, view.workload)
