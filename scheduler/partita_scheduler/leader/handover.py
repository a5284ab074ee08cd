"""An ordered end of the replica that answers: no question of kube-scheduler meets a closed door, or two opinions.

1. Told to end, it offers the Lease at once, and goes on answering: nobody else does.
2. Another takes it and is Ready. Meanwhile we answer still, on the connection that kube-scheduler keeps: a Service
   sends it to one that is ending only while no other is ready (KEP-1669), and it is some seconds until that is known.
3. When our notice has run out the other one answers. We have no opinion any more, and each answer closes its connection
   (a POST that meets a closed one is lost: Go does not send it again). So kube-scheduler comes to the other one.
4. The process closes its listener. Where nobody took the lease it does so after its patience; at once where it is told
   once more, and without an election or patience.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from partita_scheduler.leader.elector import LeaderElector

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1
LET_GO_SECONDS = 1.5
"""For a question, if any comes, on each connection that is to be let go."""

GRACE_SECONDS = 8.0
"""Of all that follows the patience, with an API server that answers slowly, the most that is waited for."""


class Handover:
    """The election until the process is told to end, and what follows. `done` is when it may close."""

    def __init__(
        self,
        elector: LeaderElector | None,
        *,
        patience_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """`elector`: None where there is one replica alone. `patience_seconds`: the most that is waited for another to
        take the lease.
        """
        self._elector, self._patience, self._clock = elector, patience_seconds, clock
        self.told, self.hurried, self.done = threading.Event(), threading.Event(), threading.Event()
        self._wait = wait or self.hurried.wait
        self._bound = threading.Timer(patience_seconds + GRACE_SECONDS, self.done.set)
        self._bound.daemon = True

    def tell(self) -> None:
        """To end; once more: to end at once. Does not wait."""
        if self.told.is_set():
            self.hurried.set()
            self.done.set()
            return
        self._bound.start()
        self.told.set()

    def run(self) -> None:
        """Take part in the election until told to end, then hand over what we lead."""
        try:
            if self._elector is None:
                self.told.wait()
                return
            self._elector.run(self.told)
            self._hand_over(self._elector)
        finally:
            self.done.set()
            self._bound.cancel()

    def _hand_over(self, elector: LeaderElector) -> None:
        while self._patience > 0 and elector.holding and not elector.leading:
            if self._wait(LOOK_SECONDS):  # Told before our turn has come: whoever was before us is about to end.
                break
        if elector.leading and self._patience > 0 and self._taken_in_time(elector):
            log.info("another replica has the lease", answers_seconds=round(elector.answers_seconds, 1))
            if not self._wait(elector.answers_seconds):
                self._wait(LET_GO_SECONDS)
        elector.release()

    def _taken_in_time(self, elector: LeaderElector) -> bool:
        end = self._clock() + self._patience
        while not elector.hand_over():
            if self._clock() >= end or self._wait(LOOK_SECONDS):
                return False
        return True
