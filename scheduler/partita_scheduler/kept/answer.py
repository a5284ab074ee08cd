"""What one question gets: the best node, the scores as bytes, and whatever else when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from partita_scheduler.allocator.nodes import NodePools
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.kept.column import Kept, Ranks
from partita_scheduler.kept.fleet import DIGITS, SCORE_AT, UNKNOWN, Names
from partita_scheduler.policy.decision import Decision, scores_by_place
from partita_scheduler.policy.question import Question
from partita_scheduler.policy.row import NOT_SEEN, Row, Verdict, verdict
from partita_scheduler.protocol.replies import HostPriority
from partita_scheduler.reasons import Reason

OPENING, CLOSING = b"[]"


@dataclass(frozen=True, slots=True)
class Answers:
    """All nodes' answers to one question at one moment. Nobody changes its parts."""

    asked: Question
    names: Names
    answers: tuple[Kept, ...]
    offered: tuple[NodePools | None, ...]
    ranks: Ranks

    @property
    def view(self) -> ClusterView:
        return claims_of(self.asked)

    def row(self, name: str) -> Row:
        """A node's answer, also of one that nobody has seen."""
        number = self.names.numbers.get(name, UNKNOWN)
        return Row(name, NOT_SEEN) if number == UNKNOWN else _row(name, self.answers[number], self.offered[number])

    def few(self, names: Iterable[str]) -> Callable[[str], Row]:
        """The same for these nodes alone, which does not hold on to all the others."""
        numbers = self.names.numbers
        known = {name: (self.answers[numbers[name]], self.offered[numbers[name]]) for name in names if name in numbers}
        return lambda name: _row(name, *known[name]) if name in known else Row(name, NOT_SEEN)

    def refusals(self, names: Sequence[str]) -> dict[str, str]:
        """Those of the nodes that break a wish which the API cannot express."""
        if not self.asked.wishes.strict:
            return {}
        return {name: refusal for name in names if (refusal := self.row(name).refusal)}

    def among(self, names: Sequence[str]) -> Answer:
        """The answer for the nodes that kube-scheduler asks about."""
        numbers = self.names.find(names)
        strangers = tuple(names[place] for place in np.flatnonzero(numbers == UNKNOWN).tolist())
        among = np.zeros(len(self.answers) + 1, dtype=bool)
        among[numbers] = True
        fitting = np.flatnonzero(among[:-1] & (self.ranks.of >= 0))
        places = self.names.by_name
        order = fitting[np.argsort(self.ranks.grades(fitting) * len(places) + places[fitting])]
        return Answer(self, numbers, strangers, order)


def _row(name: str, found: Kept, offered: NodePools | None) -> Row:
    return Row(name, found.found, offered.pools if offered else (), found.extended, found.refusal)


def claims_of(asked: Question) -> ClusterView:
    """The claims to be allocated alone: all that an assumption needs of a view, and small enough to be kept."""
    return ClusterView(claims={(one.metadata.namespace, one.metadata.name): one for one in asked.needs.claims})


class Verdicts(Mapping[str, Verdict]):
    """Verdicts that are made when they are looked at."""

    def __init__(self, asked: Question, row: Callable[[str], Row], names: Sequence[str]) -> None:
        self._asked, self._row, self._names = asked, row, dict.fromkeys(names)

    def __getitem__(self, name: str) -> Verdict:
        if name not in self._names:
            raise KeyError(name)
        return verdict(self._asked, self._row(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


@dataclass(frozen=True, slots=True)
class Answer:
    """The answers of the nodes asked about. Their names are not kept: they are new text in each question."""

    all: Answers
    numbers: np.ndarray
    strangers: tuple[str, ...]
    """Nodes asked about that nobody has seen."""

    order: np.ndarray

    @property
    def best(self) -> str:
        """The first of the nodes that fit; empty where none does."""
        return self.all.names.names[self.order[0]] if len(self.order) else ""

    def scores(self, names: Sequence[str]) -> msgspec.Raw:
        """The answer to prioritize, for the names that were asked about."""
        levels = np.zeros(len(self.all.names) + 1, dtype=np.int64)
        levels[self.order] = scores_by_place(len(self.order))
        found = levels[self.numbers]
        if self.strangers:
            pairs = zip(names, found.tolist(), strict=True)
            return msgspec.Raw(msgspec.json.encode([HostPriority(host=name, score=score) for name, score in pairs]))
        if not len(found):
            return msgspec.Raw(b"[]")
        rendered = self.all.names.rendered
        answer = bytearray(1 + len(found) * rendered.shape[1])
        answer[0] = OPENING
        rows = np.frombuffer(answer, dtype=np.uint8, offset=1).reshape(len(found), -1)
        # Rows are copied whole, straight into the answer: much faster than rendered[numbers], which goes by bytes.
        np.take(rendered, self.numbers, axis=0, out=rows, mode="clip")
        rows[:, SCORE_AT] = DIGITS[found]
        rows[-1, -1] = CLOSING
        return msgspec.Raw(bytes(answer))

    def options(self, first: str, most: int) -> Decision:
        """The decision as far as the best nodes, `first` before all: small enough to be kept for every pod."""
        order = tuple(self.all.names.names[number] for number in self.order[:most].tolist())
        chosen = dict.fromkeys((first, *order))
        return Decision(verdicts=Verdicts(self.all.asked, self.all.few(chosen), tuple(chosen)), order=order)

    def brief(self, name: str) -> Verdict:
        """One node's verdict without its allocations, which take longer than all the rest."""
        found = self.all.row(name)
        reasons = (Reason("wish", found.refusal),) if found.refusal else found.found.reasons
        undecided, words = found.found.undecided, found.found.explanation if found.fits else ""
        return Verdict(node=name, reasons=reasons, undecided=undecided, explanation=words)

    def decision(self) -> Decision:
        """The same as policy.decide would say."""
        listed = self.all.names.names
        names = [*(listed[number] for number in self.numbers.tolist() if number != UNKNOWN), *self.strangers]
        return Decision(
            verdicts=Verdicts(self.all.asked, self.all.row, names),
            order=tuple(listed[number] for number in self.order.tolist()),
            hard_refusals=self.all.refusals(names),
            notes=self.all.asked.wishes.notes,
        )
