"""The kept state: takes changes in from any thread, brings the answers up to date beside the questions, and answers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import structlog

from partita_plugins.contracts import Workload
from partita_plugins.wire.resource_claim import DeviceClass, ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.in_use import PoolId, PoolUse
from partita_scheduler.allocator.result import Budget
from partita_scheduler.cluster.view import AssumedAllocation, ClusterView, Node, Pod
from partita_scheduler.found import Decided, Found
from partita_scheduler.kept.answer import Answers, claims_of
from partita_scheduler.kept.changes import Cluster
from partita_scheduler.kept.columns import Columns
from partita_scheduler.kept.fleet import Fleet
from partita_scheduler.policy import decision as policy
from partita_scheduler.policy.decision import STEPS_PER_POD, concerns_us, decide_each
from partita_scheduler.policy.extended import asks_for_served
from partita_scheduler.policy.question import question
from partita_scheduler.scoring.ranking import DEFAULT_SCORING, Scoring, ranking_of

log = structlog.get_logger(__name__)

LOOKS_AT_ONCE = 10
"""Nodes looked at, or new contents answered for, before a question is let in: one or two milliseconds."""

ANSWER_SECONDS = 0.2
"""For the search on nodes not known yet: kube-scheduler gives us half a second. We have no opinion on the others,
for which the background goes on."""

BEHIND = 500
"""Changes and nodes still to be looked at, up to 0.3 ms each: with more an answer would be late."""

MOST_GONE = 1_000
"""Nodes that may be gone before all are numbered anew, beside as many as there are."""

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
        self._cluster = Cluster(slices, server_minor, scoring, cpu_left_milli)
        self._clock = clock
        self._cpu_changed: set[str] = set()
        """Nodes whose CPU is to be looked at: each waits once, however many pods it gets."""

        self._fleet = Fleet()
        self._unseen: set[int] = set()
        """Nodes that must be looked at."""

        self._columns = Columns(self._fleet)
        self._changes: deque[Callable[[], None]] = deque()
        self._server_minor = server_minor
        self._wake = threading.Event()
        self._lock = threading.Lock()

    # Listeners: any thread, in the order in which they are to be taken in.

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        self._later(partial(self._node, old, new))

    def slice_changed(self, old: ResourceSlice | None, new: ResourceSlice | None) -> None:
        self._later(partial(self._slice, old, new))

    def tainted(self, nodes: frozenset[str]) -> None:
        """Rules taint devices of these nodes otherwise than before; "": devices that several nodes reach."""
        if nodes:
            self._later(partial(self._offer_otherwise, nodes))

    def class_changed(self, old: DeviceClass | None, new: DeviceClass | None) -> None:
        """Taken in at once: whether a pod is any of ours must not wait for the rest."""
        self._cluster.device_class(old, new)
        self._later(self._columns.clear)

    def claim_changed(self, old: ResourceClaim | None, new: ResourceClaim | None) -> None:
        self._later(lambda: self._touch(self._cluster.claim(old, new)))

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """A pod that waits will be asked about: its column is made before that, also on the standby."""
        if new is not None and (
            old is None or old.status.resource_claim_statuses != new.status.resource_claim_statuses
        ):
            # Those of templates get their claims later.
            self._later(partial(self._expect, new))

    def assumption_changed(self, key: str, assumed: AssumedAllocation | None) -> None:
        self._later(lambda: self._touch(self._cluster.assumption(key, assumed)))

    def cpu_changed(self, node: str) -> None:
        if node not in self._cpu_changed:
            self._cpu_changed.add(node)
            self._later(partial(self._cpu, node))

    def workload_changed(self, workload: Workload) -> None:
        """Nodes are judged by it as soon as all have been, in the background; at once while nothing was asked."""
        self._later(partial(self._learned, workload))

    def _later(self, change: Callable[[], None]) -> None:
        self._changes.append(change)
        self._wake.set()

    # Questions.

    def find(self, pod: Pod, node_names: Sequence[str]) -> Found | None:
        """What is found about a pod, everybody's assumptions counted; None: it is none of ours.

        Its own assumption must have been dropped before.
        """
        if not self.may_concern(pod):
            return None
        with self._lock:
            self._take_in()
            view = self._cluster.view()
            if not concerns_us(view, pod):
                return None
            asked = question(view, pod)
            for number in list(self._unseen):
                self._look(number, view)
            column = self._columns.column(asked)
            if column is None:
                return Decided(decide_each(view, asked, node_names, self._uses), claims_of(asked), policy)
            enough = self._clock() + ANSWER_SECONDS
            column.refresh(view, self._uses, Budget(STEPS_PER_POD), late=lambda: self._clock() > enough)
            column.give_up()
            fleet = self._fleet
            return Answers(asked, fleet.names, tuple(column.answers), fleet.offers, column.ranks(view))

    def concerns_us(self, pod: Pod) -> bool:
        """As the policy's, on the cluster as it is now."""
        with self._lock:
            self._take_in()
            return concerns_us(self._cluster.view(), pod)

    def may_refuse(self, pod: Pod) -> bool | None:
        """Whether the pod has a wish that nodes may break; None: it is none of ours."""
        if not self.may_concern(pod):
            return None
        with self._lock:
            self._take_in()
            view = self._cluster.view()
            return question(view, pod).wishes.strict if concerns_us(view, pod) else None

    def expect(self, pod: Pod, node_names: Sequence[str]) -> None:
        """The next question will be about this pod and this very list: all that it needs is made before it comes."""
        self.find(pod, node_names)
        with self._lock:
            names = self._fleet.names
        names.find(node_names)

    def may_concern(self, pod: Pod) -> bool:
        """False for most pods of a cluster: classes alone are looked at, and nobody is waited for."""
        return bool(pod.spec.resource_claims) or asks_for_served(self._cluster.classes, pod)

    @property
    def behind(self) -> bool:
        """Whether so much is still to be looked at that an answer would be late."""
        return len(self._changes) + len(self._unseen) > BEHIND

    # The background.

    def run(self, stopping: threading.Event) -> None:
        """Bring everything up to date whenever something changed, until stopped."""
        while not stopping.is_set():
            if self._wake.wait(IDLE_SECONDS):
                # A question mostly changes something itself: it is answered before anybody competes with it.
                stopping.wait(PAUSE_SECONDS)
            self._wake.clear()
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
            self._take_in(LOOKS_AT_ONCE * 10)
            view = self._cluster.view()
            for number in list(self._unseen)[:LOOKS_AT_ONCE]:
                self._look(number, view)
            if not self._unseen and not self._changes:
                self._columns.refresh(view, self._uses, most=LOOKS_AT_ONCE)
                self._cluster.workload = self._columns.workload
            return bool(self._changes or self._unseen or self._columns.stale)

    # All below is called with the lock held.

    @property
    def _uses(self) -> Mapping[PoolId, PoolUse]:
        return self._cluster.uses

    def _take_in(self, most: int | None = None) -> None:
        for _ in range(len(self._changes) if most is None else min(most, len(self._changes))):
            self._changes.popleft()()

    def _look(self, number: int, view: ClusterView) -> None:
        self._unseen.discard(number)
        if self._fleet.look(number, view, self._uses):
            self._columns.changed(number)

    def _node(self, old: Node | None, new: Node | None) -> None:
        either = new or old
        if either is None or not self._cluster.node(old, new):
            return
        if len(self._fleet.contents) > MOST_GONE + 2 * len(self._cluster.nodes):
            self._number_anew()
        number = self._fleet.number(either.metadata.name)
        self._unseen.add(number)
        # What it has itself of extended resources is not part of its content.
        self._columns.changed(number)

    def _cpu(self, name: str) -> None:
        self._cpu_changed.discard(name)
        if self._cluster.cpu(name) and name in self._fleet.numbers:
            self._unseen.add(self._fleet.numbers[name])

    def _learned(self, workload: Workload) -> None:
        self._columns.expect(workload)
        self._cluster.workload = self._columns.workload

    def _number_anew(self) -> None:
        """Nodes that are gone keep their numbers, until most of the numbers are theirs."""
        self._fleet = Fleet()
        self._columns.begin(self._fleet)
        self._unseen = {self._fleet.number(name) for name in self._cluster.nodes}

    def _slice(self, old: ResourceSlice | None, new: ResourceSlice | None) -> None:
        self._offer_otherwise({one.spec.node_name or "" for one in (old, new) if one is not None})

    def _offer_otherwise(self, names: Collection[str]) -> None:
        if "" in names:
            self._unseen.update(range(len(self._fleet.contents)))
            return
        self._unseen |= self._fleet.far
        self._unseen.update(self._fleet.numbers[name] for name in names if name in self._fleet.numbers)

    def _touch(self, pools: set[PoolId]) -> None:
        self._unseen |= self._fleet.using(pools)

    def _expect(self, pod: Pod) -> None:
        if pod.spec.resource_claims:
            view = self._cluster.view()
            if concerns_us(view, pod):
                self._columns.column(question(view, pod))
