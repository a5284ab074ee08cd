"""Choices we made and have not yet seen in the API, and whether the predictions behind them came true.

kube-scheduler never tells an extender which node it took, and its own allocation appears in the API only after it has
bound the pod's claims. Until then the first node we named is assumed, so that the next pod does not get its devices.
Where a pod is seen to have what is assumed for another, the two change places: what was foretold counts all the same.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from partita_plugins.wire.resource_claim import Allocation, ResourceClaim
from partita_scheduler.allocator.allocation import devices_of
from partita_scheduler.assumed.predictions import Pending, Prediction, keys_of
from partita_scheduler.assumed.record import Record
from partita_scheduler.cluster.groups import Groups
from partita_scheduler.cluster.view import AssumedAllocation, ClusterView, Pod, assumed_key
from partita_scheduler.metrics import Metrics
from partita_scheduler.policy.decision import Decision

ASSUME_SECONDS = 30.0
"""Longer than any binding without binding conditions; an assumption that outlives its pod blocks devices for no one."""

GONE_POD_SECONDS = 2.0
"""A bound pod leaves the watch on unbound pods as a deleted one does: its allocation may arrive that much later."""

MAX_PENDING = 1_000
MAX_OPTIONS = 64
"""Nodes, best first, whose prediction is kept in case kube-scheduler takes another one than ours."""


def _ignore(_key: str, _assumed: AssumedAllocation | None) -> None:
    """Nobody listens."""


class Assumptions:
    """At most one choice per pod UID. Thread-safe; nothing here waits for anything."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        seconds: float = ASSUME_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        listener: Callable[[str, AssumedAllocation | None], None] = _ignore,
    ) -> None:
        """`listener` is told, in order, what is assumed under a key of ClusterView.assumed, and None when it ends."""
        self._seconds, self._clock, self._listener = seconds, clock, listener
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        self._waiting: Groups[str] = Groups()
        """Pods by the keys in ClusterView.assumed of what is assumed for them."""

        self._soonest = float("inf")
        """When the first of them may be over: nobody looks before."""

        self._record = Record(metrics)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return sum(len(pending.claims) for pending in self._pending.values())

    def assume(self, view: ClusterView, pod: Pod, node: str, decision: Decision) -> Mapping[str, Allocation]:
        """Take the node as this pod's, instead of any that was taken before; what its claims get there, by name.

        The decision need not know more than MAX_OPTIONS nodes, and is kept.
        """
        uid, namespace = pod.metadata.uid, pod.metadata.namespace
        options = decision.verdicts
        foretold = (options[node].allocations or {}) if node in options else {}
        nothing, now = ResourceClaim(), self._clock()
        pending = Pending(
            pod_uid=uid,
            pod=pod.key,
            namespace=namespace,
            node=node,
            since=now,
            deadline=now + self._seconds,
            options=options,
            assumed=dict(foretold),
            claims={assumed_key(uid, view.claims.get((namespace, name), nothing)): name for name in foretold},
        )
        with self._lock:
            self._drop(uid)
            if pending.claims:
                self._pending[uid] = pending
                self._soonest = min(self._soonest, pending.deadline)
                self._waiting.add(uid, *pending.claims)
                for key in pending.claims:
                    self._listener(key, pending.entry(key))
            while len(self._pending) > MAX_PENDING:
                self._forget(next(iter(self._pending)))
        return foretold

    def forget(self, pod_uid: str) -> None:
        """The pod is being asked about again: what was assumed for it did not happen. Others' time may be over too."""
        with self._lock:
            self._expire()
            self._drop(pod_uid)

    def active(self, *, excluding: str = "") -> dict[str, AssumedAllocation]:
        """What to put into a view for a decision about the pod with the excluded UID."""
        with self._lock:
            self._expire()
            return {
                key: pending.entry(key)
                for pending in self._pending.values()
                if pending.pod_uid != excluding
                for key in pending.claims
            }

    def predictions(self) -> list[Prediction]:
        """The last ones that were settled or forgotten, oldest first, then those still open."""
        with self._lock:
            self._expire()
            waiting = [one for pending in self._pending.values() for one in pending.predictions()]
            return [*self._record, *waiting]

    def claim_changed(self, _old: ResourceClaim | None, new: ResourceClaim | None) -> None:
        """Listener of the watch on claims: an allocation settles what was foretold."""
        if new is None or new.status.allocation is None:
            return
        with self._lock:
            for key in keys_of(new):
                for uid in self._waiting.of([key]):
                    self._settle(self._pending[uid], key, new, new.status.allocation)

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Listener of the watch on unbound pods: one that left is bound or gone, and the allocation says which."""
        if old is None or (new is not None and new.metadata.uid == old.metadata.uid):
            return
        with self._lock:
            if pending := self._pending.get(old.metadata.uid):
                pending.deadline = min(pending.deadline, self._clock() + GONE_POD_SECONDS)
                self._soonest = min(self._soonest, pending.deadline)

    def _settle(self, pending: Pending, key: str, claim: ResourceClaim, allocation: Allocation) -> None:
        found = pending.settled(key, claim, allocation, at=self._clock())
        assumed = pending.assumed[pending.claims.pop(key)]
        self._end(pending.pod_uid, key)
        if not pending.claims:
            del self._pending[pending.pod_uid]
        if found.actual_node == pending.node and found.actual != devices_of(assumed):
            self._exchange(allocation, assumed)
        self._record.settled(found)

    def _exchange(self, taken: Allocation, left: Allocation) -> None:
        """What was left is assumed for the pod for which what was taken is assumed, if there is one."""
        for pending in self._pending.values():
            if key := pending.exchange(taken, left):
                self._tell(key)
                return

    def _expire(self) -> None:
        now = self._clock()
        if now < self._soonest:
            return
        for uid in [uid for uid, pending in self._pending.items() if pending.deadline <= now]:
            self._forget(uid)
        self._soonest = min((pending.deadline for pending in self._pending.values()), default=float("inf"))

    def _forget(self, uid: str) -> None:
        pending = self._drop(uid)
        for one in pending.predictions() if pending else ():
            self._record.forgotten(one)

    def _drop(self, uid: str) -> Pending | None:
        pending = self._pending.pop(uid, None)
        for key in pending.claims if pending else ():
            self._end(uid, key)
        return pending

    def _end(self, uid: str, key: str) -> None:
        """What is assumed under a key ends for one pod; another's with the same claim stands."""
        self._waiting.remove(uid, key)
        self._tell(key)

    def _tell(self, key: str) -> None:
        pods = self._waiting.of([key])
        self._listener(key, self._pending[pods[-1]].entry(key) if pods else None)
