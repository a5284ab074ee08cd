"""The kept state: takes changes in from any thread, brings the answers up to date beside the questions, and answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from partita_plugins.contracts import Workload
from partita_plugins.wire.objects import Taint
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.result import Budget
from partita_scheduler.cluster.view import ClusterView, Node, Pod
from partita_scheduler.found import Decided, Found
from partita_scheduler.kept.answer import Answers, claims_of
from partita_scheduler.kept.column import Column, settle
from partita_scheduler.kept.told import Told
from partita_scheduler.policy import decision as policy
from partita_scheduler.policy.decision import STEPS_PER_POD, concerns_us, decide_each
from partita_scheduler.policy.extended import asks_for_served
from partita_scheduler.policy.question import Question, question
from partita_scheduler.scoring.ranking import DEFAULT_SCORING, Scoring, ranking_of

log = structlog.get_logger(__name__)

LOOKS_AT_ONCE = 10
"""Nodes looked at, or new contents answered for, before a question is let in: one or two milliseconds."""

ANSWER_SECONDS = 0.2
"""For the search on nodes not known yet: kube-scheduler gives us half a second. We have no opinion on the others,
for which the background goes on."""

BEHIND = 500
"""Changes and nodes still to be looked at, up to 0.3 ms each: with more an answer would be late."""

IDLE_SECONDS = 1.0
PAUSE_SECONDS = 0.01


class KeptState:
    """Answers about nodes, kept. Listeners never wait; questions wait for at most one small step of the background."""

    def __init__(
        self,
        slices: Callable[[], Mapping[str, tuple[ResourceSlice, ...]]],
        server_minor: Callable[[], int],
        scoring: Scoring = DEFAULT_SCORING,
        cpu_left_milli: Callable[[Node], int | None] = lambda _: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        ranking_of(scoring).prepare(Workload())  # Not at the first question.
        self.told = Told(slices, server_minor, scoring, cpu_left_milli, clock=clock)
        """Its listeners are for the watches and the learner."""

        self._clock = clock
        self._lock = threading.Lock()

    # Questions.

    def asked(self, pod: Pod) -> None:
        """A cycle's first question has come."""
        if self.may_concern(pod):
            self.told.cycles.asked(pod.metadata.uid)

    def answered(self, *, last: bool) -> None:
        """kube-scheduler has an answer, about whichever pod, and asks no more in that cycle if it was the last."""
        self.told.cycles.answered(last=last)

    def find(self, pod: Pod, node_names: Sequence[str]) -> Found | None:
        """What is found about a pod, everybody's assumptions counted; None: it is none of ours.

        Its own assumption must have been dropped before.
        """
        if not self.may_concern(pod):
            return None
        with self._lock:
            self.told.take_in()
            view = self.told.cluster.view()
            if not concerns_us(view, pod):
                return None
            asked = question(view, pod)
            self.told.has_claims(asked.needs.claims)
            self._look(view)
            enough = self._clock() + ANSWER_SECONDS

            def late() -> bool:
                return self._clock() > enough

            column = self.told.columns.column(asked)
            if column is None:
                return self._alone(asked, view, node_names, late)
            self._bring_up_to_date(column, view, late)
            fleet = self.told.fleet
            while self.told.must_be_known(node_names, lambda name: column.answers[fleet.numbers[name]].found):
                self._look(view)
                self._bring_up_to_date(column, view, late)
            return Answers(asked, fleet.names, tuple(column.answers), fleet.offers, column.ranks(view))

    def _alone(self, asked: Question, view: ClusterView, node_names: Sequence[str], late: Callable[[], bool]) -> Found:
        """What is found for this pod and no other."""
        made = decide_each(view, asked, node_names, self.told.cluster.uses, late=late)
        while self.told.must_be_known(node_names, made.verdicts.__getitem__):
            self._look(view)
            made = decide_each(view, asked, node_names, self.told.cluster.uses, late=late)
        return Decided(made, claims_of(asked), policy)

    def _look(self, view: ClusterView) -> None:
        for number in list(self.told.unseen):
            self.told.look(number, view)

    def _bring_up_to_date(self, column: Column, view: ClusterView, late: Callable[[], bool]) -> None:
        uses, budget = self.told.cluster.uses, Budget(STEPS_PER_POD)
        settle(view, column.search(view, uses, budget, late=late))
        column.give_up()

    def concerns_us(self, pod: Pod) -> bool:
        """As the policy's, on the cluster as it is now."""
        with self._lock:
            self.told.take_in()
            return concerns_us(self.told.cluster.view(), pod)

    def may_refuse(self, pod: Pod) -> bool | None:
        """Whether the pod has a wish that nodes may break; None: it is none of ours."""
        if not self.may_concern(pod):
            return None
        with self._lock:
            self.told.take_in()
            view = self.told.cluster.view()
            return question(view, pod).wishes.strict if concerns_us(view, pod) else None

    def expect(self, pod: Pod, node_names: Sequence[str]) -> None:
        """The next question will be about this pod and this very list: all that it needs is made before it comes."""
        self.find(pod, node_names)
        with self._lock:
            names = self.told.fleet.names
        names.find(node_names)

    def may_concern(self, pod: Pod) -> bool:
        """False for most pods of a cluster: classes alone are looked at, and nobody is waited for."""
        return bool(pod.spec.resource_claims) or asks_for_served(self.told.cluster.classes, pod)

    @property
    def marks(self) -> tuple[bytes, ...]:
        """Of these, a pod that may concern us has at least one in its JSON."""
        return self.told.cluster.marks

    @property
    def avoided(self) -> Mapping[str, Sequence[Taint]]:
        """PreferNoSchedule taints by node, of those that have any."""
        return self.told.cluster.avoided

    @property
    def behind(self) -> bool:
        """Whether so much is still to be looked at that an answer would be late."""
        return self.told.waiting + len(self.told.unseen) > BEHIND

    # The background.

    def run(self, stopping: threading.Event) -> None:
        """Bring everything up to date whenever something changed, until stopped."""
        while not stopping.is_set():
            # Nothing wakes us when what was freed becomes free by time alone.
            if self.told.wake.wait(IDLE_SECONDS):
                # A question mostly changes something itself: it is answered before anybody competes with it.
                stopping.wait(PAUSE_SECONDS)
            self.told.wake.clear()
            try:
                while not stopping.is_set() and self.step():
                    # A lock that is free for a moment only may never be had by a thread that waits for it.
                    stopping.wait(0)
            except Exception:
                # The question that meets it will have no opinion; the next change is taken in all the same.
                log.exception("the kept state is not up to date")

    def step(self) -> bool:
        """One small part of what is to be done; whether there is more."""
        with self._lock:
            self.told.take_in(LOOKS_AT_ONCE * 10)
            view = self.told.cluster.view()
            for number in list(self.told.unseen)[:LOOKS_AT_ONCE]:
                self.told.look(number, view)
            if not self.told.unseen and not self.told.waiting:
                self.told.columns.refresh(view, self.told.cluster.uses, most=LOOKS_AT_ONCE)
                self.told.cluster.workload = self.told.columns.workload
            return bool(self.told.waiting or self.told.unseen or self.told.columns.stale)
