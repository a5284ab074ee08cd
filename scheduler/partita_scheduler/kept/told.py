"""What the watches and the learner tell: put down by any thread, taken in one by one, with what each makes stale."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from partita_plugins.contracts import Workload
from partita_plugins.wire.resource_claim import DeviceClass, ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.in_use import PoolId
from partita_scheduler.cluster.view import AssumedAllocation, ClusterView, Node, Pod
from partita_scheduler.kept.changes import Cluster
from partita_scheduler.kept.columns import Columns
from partita_scheduler.kept.cycles import Cycles
from partita_scheduler.kept.fleet import Fleet
from partita_scheduler.policy.decision import concerns_us
from partita_scheduler.policy.node import Judgement
from partita_scheduler.policy.question import question
from partita_scheduler.policy.row import Verdict, lacks_devices
from partita_scheduler.scoring.ranking import DEFAULT_SCORING, Scoring

MOST_GONE = 1_000
"""Nodes that may be gone before all are numbered anew, beside as many as there are."""


class Told:
    """Listeners never wait. All else is for one thread at a time."""

    def __init__(
        self,
        slices: Callable[[], Mapping[str, tuple[ResourceSlice, ...]]],
        server_minor: Callable[[], int],
        scoring: Scoring = DEFAULT_SCORING,
        cpu_left_milli: Callable[[Node], int | None] = lambda _: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.cycles = Cycles(clock)
        self.cluster = Cluster(slices, server_minor, scoring, cpu_left_milli)
        self.fleet = Fleet()
        self.columns = Columns(self.fleet)
        self.unseen: set[int] = set()
        """Nodes that must be looked at."""

        self.wake = threading.Event()
        """Set when there is something to be taken in."""

        self._changes: deque[Callable[[], None]] = deque()
        self._cpu_changed: set[str] = set()
        """Nodes whose CPU is to be looked at: each waits once, however many pods it gets."""

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
        self.cluster.device_class(old, new)
        self._later(self.columns.clear)

    def claim_changed(self, old: ResourceClaim | None, new: ResourceClaim | None) -> None:
        at = self._clock()
        self._later(lambda: self._touch(self.cluster.claim(old, new, at)))

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """A pod that waits will be asked about: its column is made before that, also on the standby."""
        if old is not None:
            self.cycles.left(old.metadata.uid)
        if new is not None:
            self.cycles.waits(new.metadata.uid)
        if new is None or not new.spec.resource_claims:
            return
        # Those of templates get their claims later.
        if old is None or old.status.resource_claim_statuses != new.status.resource_claim_statuses:
            self._later(partial(self._expect, new))

    def assumption_changed(self, key: str, assumed: AssumedAllocation | None) -> None:
        self._later(lambda: self._touch(self.cluster.assumption(key, assumed)))

    def cpu_changed(self, node: str) -> None:
        # Few pods change the level: nobody is woken for the others.
        if node not in self._cpu_changed and self.cluster.cpu_changed(node):
            self._cpu_changed.add(node)
            self._later(partial(self._cpu, node))

    def workload_changed(self, workload: Workload) -> None:
        """Nodes are judged by it as soon as all have been, in the background; at once while nothing was asked."""
        self._later(partial(self._learned, workload))

    def _later(self, change: Callable[[], None]) -> None:
        self._changes.append(change)
        self.wake.set()

    # For one thread at a time.

    @property
    def waiting(self) -> int:
        """Changes to be taken in."""
        return len(self._changes)

    def take_in(self, most: int | None = None) -> None:
        """Take changes in, at most so many. What was freed is free once kube-scheduler knows."""
        for _ in range(len(self._changes) if most is None else min(most, len(self._changes))):
            self._changes.popleft()()
        self._let_go(self.cycles.gathered)

    def has_claims(self, claims: Iterable[ResourceClaim]) -> None:
        """kube-scheduler asks for a pod with these claims: it knows of all that was freed before they were made,
        because one watch tells it of both in their order."""
        known = self.cluster.came(claims)
        self.cycles.has_seen(known)
        self._let_go(known)

    def must_be_known(self, names: Collection[str], found: Callable[[str], Judgement | Verdict]) -> bool:
        """kube-scheduler asks about nodes where the pod fits. Where it fits only with what was freed, kube-scheduler
        knows of that, and of all that was freed before. Whether anything is free because of it."""
        known, asked, looked = -math.inf, set(names if self.cluster.freed else ()), set[int]()
        for freed in self.cluster.freed:
            for number in self.fleet.using(freed.pools) - looked:
                looked.add(number)
                if (name := self.fleet.name(number)) in asked and lacks_devices(found(name)):
                    known = freed.at
        self.cycles.has_seen(known)
        return self._let_go(known)

    def _let_go(self, until: float) -> bool:
        pools = self.cluster.let_go(until)
        self._touch(pools)
        return bool(pools)

    def look(self, number: int, view: ClusterView) -> None:
        """See what a node offers and holds now."""
        self.unseen.discard(number)
        if self.fleet.look(number, view, self.cluster.uses):
            self.columns.changed(number)

    def _node(self, old: Node | None, new: Node | None) -> None:
        either = new or old
        if either is None or not self.cluster.node(old, new):
            return
        if len(self.fleet.contents) > MOST_GONE + 2 * len(self.cluster.nodes):
            self._number_anew()
        number = self.fleet.number(either.metadata.name)
        self.unseen.add(number)
        # What it has itself of extended resources is not part of its content.
        self.columns.changed(number)

    def _cpu(self, name: str) -> None:
        self._cpu_changed.discard(name)
        if self.cluster.cpu(name) and name in self.fleet.numbers:
            self.unseen.add(self.fleet.numbers[name])

    def _learned(self, workload: Workload) -> None:
        self.columns.expect(workload)
        self.cluster.workload = self.columns.workload

    def _number_anew(self) -> None:
        """Nodes that are gone keep their numbers, until most of the numbers are theirs."""
        self.fleet = Fleet()
        self.columns.begin(self.fleet)
        self.unseen = {self.fleet.number(name) for name in self.cluster.nodes}

    def _slice(self, old: ResourceSlice | None, new: ResourceSlice | None) -> None:
        self._offer_otherwise({one.spec.node_name or "" for one in (old, new) if one is not None})

    def _offer_otherwise(self, names: Collection[str]) -> None:
        if "" in names:
            self.unseen.update(range(len(self.fleet.contents)))
            return
        self.unseen |= self.fleet.far
        self.unseen.update(self.fleet.numbers[name] for name in names if name in self.fleet.numbers)

    def _touch(self, pools: set[PoolId]) -> None:
        self.unseen |= self.fleet.using(pools)

    def _expect(self, pod: Pod) -> None:
        view = self.cluster.view()
        if concerns_us(view, pod):
            self.columns.column(question(view, pod))
