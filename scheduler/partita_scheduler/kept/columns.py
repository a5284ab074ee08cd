"""The columns of a fleet: those that answer, and those for a workload just learned, until they can take over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace

from partita_plugins.contracts import Workload
from partita_scheduler.allocator.in_use import PoolId, PoolUse
from partita_scheduler.allocator.result import Budget
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.kept.column import Column, Searched, settle
from partita_scheduler.kept.fleet import Fleet
from partita_scheduler.policy.decision import STEPS_PER_POD
from partita_scheduler.policy.question import Question

MAX_COLUMNS = 48
"""Kinds of questions kept; some 200 KB each for 5,000 nodes."""

Uses = Mapping[PoolId, PoolUse]


class Columns:
    """One column for each kind of question. Not thread-safe."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._answering: OrderedDict[Hashable, Column] = OrderedDict()
        self._coming: dict[Hashable, Column] = {}
        self._expected: Workload | None = None
        """What the coming columns are for; None while there are none."""

        self.workload = Workload()
        """What the answering columns are for."""

    def column(self, asked: Question) -> Column | None:
        """The one for such questions, perhaps with stale nodes; None where an answer is good for one pod alone."""
        shape = asked.shape
        if shape is None:
            return None
        column = self._answering.get(shape)
        if column is None or column.overgrown:
            column = self._answering[shape] = Column(asked, self._fleet)
        self._answering.move_to_end(shape)
        while len(self._answering) > MAX_COLUMNS:
            self._answering.popitem(last=False)
        column.grow()
        return column

    def _all(self) -> Iterator[Column]:
        yield from self._answering.values()
        yield from self._coming.values()

    def changed(self, number: int) -> None:
        """A node, perhaps a new one, is not as it was answered for."""
        for column in self._all():
            column.grow()
            column.stale.add(number)

    def clear(self) -> None:
        """Nothing that was answered is so any more."""
        self._answering.clear()
        self._coming.clear()

    def begin(self, fleet: Fleet) -> None:
        """The same for another numbering of the nodes, with no answers yet."""
        self._fleet = fleet
        self.clear()

    def expect(self, workload: Workload) -> None:
        """Make new columns beside those that answer: all at once would hold a question up."""
        if not self._answering:
            self.workload, self._expected = workload, None
            return
        self._expected = workload
        self._coming = {shape: Column(column.asked, self._fleet) for shape, column in self._answering.items()}

    @property
    def stale(self) -> bool:
        """Whether there is something to refresh."""
        return self._expected is not None or any(column.stale for column in self._answering.values())

    def refresh(self, view: ClusterView, uses: Uses, *, most: int) -> None:
        """One small part of it: those asked about last come first, then what is to come."""
        if _refreshed(reversed(self._answering.values()), view, uses, most) or self._expected is None:
            return
        if _refreshed(self._coming.values(), replace(view, workload=self._expected), uses, most):
            return
        self.workload, self._expected = self._expected, None
        self._answering, self._coming = OrderedDict(self._coming), {}


def _refreshed(columns: Iterable[Column], view: ClusterView, uses: Uses, most: int) -> bool:
    """Answer for so many contents of all that are stale: a node that changed is another in each, and judging it for all
    at once costs little more than for one. Whether there was anything to do."""
    stale = [column for column in columns if column.stale]
    searched: list[Searched] = []
    budget = Budget(STEPS_PER_POD)
    for column in stale:
        if len(searched) < most:
            searched += column.search(view, uses, budget, most=most - len(searched))
    settle(view, searched)
    return bool(stale)
