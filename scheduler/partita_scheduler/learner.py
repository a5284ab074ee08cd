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
from partita_plugins.wire.resource import ResourceClaim
from partita_scheduler.claim_shapes import shape_of
from partita_scheduler.found import ViewSource
from partita_scheduler.scoring import DEFAULT_SCORING, Scoring
from partita_scheduler.view import ClusterView

log = structlog.get_logger(__name__)

MAX_WAITING = 20_000
"""Allocations that came before the view was complete; of more the latest count."""

AT_ONCE = 200
"""Allocations looked at before others get a turn: some 10 ms."""

IDLE_SECONDS = 1.0


class Learner:
    """Looks at allocations beside the questions, and tells when the workload was learned anew."""

    def __init__(
        self,
        source: Callable[[], ViewSource],
        *,
        scoring: Scoring = DEFAULT_SCORING,
        listener: Callable[[Workload], None] = lambda _: None,
    ) -> None:
        self._source, self._scoring, self._listener = source, scoring, listener
        self._history = History()
        self._waiting: deque[ResourceClaim] = deque(maxlen=MAX_WAITING)
        self._wake = threading.Event()

    def claim_changed(self, old: ResourceClaim | None, new: ResourceClaim | None) -> None:
        """Listener of the watch on claims."""
        before = old is not None and old.status.allocation is not None
        if new is not None and new.status.allocation is not None and not before:
            self._waiting.append(new)
            self._wake.set()

    def expecting(self, view: ClusterView) -> ClusterView:
        """The view with the workload and the scorers by which nodes are judged now."""
        return replace(view, workload=self._history.workload, scoring=self._scoring)

    def run(self, stopping: threading.Event) -> None:
        """Learn until stopped."""
        while not stopping.is_set():
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()
            try:
                while self._waiting and not self._source().doubt() and not stopping.is_set():
                    self.step()
                    stopping.wait(0)
            except Exception:
                # Nodes are judged by what was learned before; the next allocation is looked at all the same.
                log.exception("an allocation taught nothing")

    def step(self) -> None:
        """Look at some of the allocations that wait."""
        view, known = self._source().view(), self._history.workload
        for _ in range(min(AT_ONCE, len(self._waiting))):
            shape = shape_of(view, self._waiting.popleft())
            if shape is not None:
                self._history.saw(shape)
        if self._history.workload is not known:
            log.info("workload learned", shapes=len(self._history.workload.counts))
            self._listener(self._history.workload)
