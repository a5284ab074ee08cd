"""The workload, learned from the cluster's own claims: each allocation that appears is one pod more.

Those that were there before the start count as well, so a new process or a standby knows what the old one knew.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import structlog

from partita_plugins.contracts import Workload
from partita_plugins.scorers.history import History
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_scheduler.cluster.cpu import cpu_milli
from partita_scheduler.cluster.pods import PodWatch
from partita_scheduler.cluster.view import ClusterView, ViewSource
from partita_scheduler.learning.claim_shapes import shape_of
from partita_scheduler.scoring.ranking import DEFAULT_SCORING, Scoring, ranking_of

log = structlog.get_logger(__name__)

MAX_WAITING = 20_000
"""Allocations that came before the view was complete; of more the latest count."""

AT_ONCE = 200
"""Allocations looked at before others get a turn: some 10 ms."""

LOOK_SECONDS = 1.0
"""Between looks at what came: each takes a copy of all claims, which holds answers up."""


def learned(view: ClusterView, cpu_milli_of: Callable[[ResourceClaim], int]) -> Workload:
    """What a process knows that has just started: of the claims that are there, in the API's order."""
    history = History()
    for claim in view.claims.values():
        if claim.status.allocation is not None and (shape := shape_of(view, claim, cpu_milli_of(claim))):
            history.saw(shape)
    return history.workload


class Learner:
    """Looks at allocations beside the questions, and tells when the workload was learned anew."""

    def __init__(
        self,
        source: Callable[[], ViewSource],
        *,
        scoring: Scoring = DEFAULT_SCORING,
        listener: Callable[[Workload], None] = lambda _: None,
        cpu: PodWatch | None = None,
    ) -> None:
        self._source, self._scoring, self._listener, self._cpu = source, scoring, listener, cpu
        self._history = History()
        self._waiting: deque[ResourceClaim] = deque(maxlen=MAX_WAITING)

    def claim_changed(self, old: ResourceClaim | None, new: ResourceClaim | None) -> None:
        """Listener of the watch on claims."""
        before = old is not None and old.status.allocation is not None
        if new is not None and new.status.allocation is not None and not before:
            self._waiting.append(new)

    def expecting(self, view: ClusterView) -> ClusterView:
        """The view with the workload, the CPU and the scorers by which nodes are judged now."""
        left = self._cpu.left_milli(view.nodes) if self._cpu else {}
        return replace(view, workload=self._history.workload, scoring=self._scoring, cpu_left_milli=left)

    def run(self, stopping: threading.Event) -> None:
        """Learn until stopped."""
        while not stopping.wait(LOOK_SECONDS):
            try:
                while self._waiting and self._ready and not stopping.is_set():
                    self.step()
                    stopping.wait(0)
            except Exception:
                # Nodes are judged by what was learned before; the next allocation is looked at all the same.
                log.exception("an allocation taught nothing")

    @property
    def _ready(self) -> bool:
        return not self._source().doubt() and (self._cpu is None or self._cpu.settled)

    def _cpu_milli(self, claim: ResourceClaim) -> int:
        """Of the pod that has the claim; 0 where nobody counts. It may not have been bound yet."""
        for consumer in claim.status.reserved_for if self._cpu else ():
            namespace = claim.metadata.namespace
            found = self._cpu.requested_milli(namespace, consumer.name) if self._cpu else None
            waiting = self._source().unbound_pod(namespace, consumer.name)
            return found if found is not None else cpu_milli(waiting) if waiting else 0
        return 0

    def step(self) -> None:
        """Look at some of the allocations that wait."""
        view, known = self._source().view(), self._history.workload
        for _ in range(min(AT_ONCE, len(self._waiting))):
            claim = self._waiting.popleft()
            shape = shape_of(view, claim, self._cpu_milli(claim))
            if shape is not None:
                self._history.saw(shape)
        if self._history.workload is not known:
            ranking_of(self._scoring).prepare(self._history.workload)
            log.info("workload learned", shapes=len(self._history.workload.counts))
            self._listener(self._history.workload)
