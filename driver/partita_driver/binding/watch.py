"""The claims of one node's pool, watched as long as kube-scheduler may wait for it and no longer.

No field of a claim tells the API server its node, so each driver in this mode is sent every claim of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from partita_driver.binding.asked import own_results
from partita_driver.loop import Loop
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.reflector import Listener, Reflector
from partita_plugins.kube.resources import RESOURCE_CLAIMS
from partita_plugins.wire.resource_claim import ResourceClaim

log = structlog.get_logger(__name__)

LINGER_SECONDS = 60.0
"""Claims may still be allocated for so long by what slices said before they changed."""

IDLE_SECONDS = 3600.0


class Watch(Protocol):
    """Tells its listener of claims until it is stopped; for one start."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


WatchClaims = Callable[[KubeApi, str, Listener[ResourceClaim]], Watch]


def watch_claims(api: KubeApi, pool: str, seen: Listener[ResourceClaim]) -> Watch:
    """A watch that tells of the claims which hold devices of a pool."""
    return Reflector(api, RESOURCE_CLAIMS, ResourceClaim, seen, keep=lambda claim: bool(own_results(claim, pool)))


class ClaimWatch:
    """Begins a watch when conditions are published, and ends it a while after they are published no more."""

    longest_stop_seconds = Loop.longest_stop_seconds

    def __init__(
        self,
        begin: Callable[[Listener[ResourceClaim]], Watch],
        seen: Listener[ResourceClaim],
        is_idle: Callable[[], bool],
        *,
        linger_seconds: float = LINGER_SECONDS,
        runtime: Runtime = THREADS,
    ) -> None:
        """`is_idle` says whether no claim waits: the watch does not end before."""
        self._begin, self._seen, self._is_idle = begin, seen, is_idle
        self._linger_seconds, self._runtime = linger_seconds, runtime
        self._wanted, self._until = False, 0.0
        self._watch: Watch | None = None
        self.loop = Loop("bind-watch", self.step, runtime)

    def start(self) -> None:
        self.loop.start()

    def stop(self) -> None:
        self.loop.stop()
        if self._watch:
            self._watch.stop()

    def published(self, *, binding: bool) -> None:
        """The API server has slices with conditions, or had until now; or it has none."""
        if binding:
            self._until = self._runtime.monotonic() + self._linger_seconds
        if binding != self._wanted:
            self._wanted = binding
            self.loop.wake()

    def step(self) -> float:
        """Begin or end the watch. Returns seconds until the next look."""
        if self._wanted:
            if self._watch is None:
                log.info("claims are watched: kube-scheduler waits for validations of this node")
                self._watch = self._begin(self._seen)
                self._watch.start()
            return IDLE_SECONDS
        if self._watch is None:
            return IDLE_SECONDS
        left = self._until - self._runtime.monotonic()
        if left > 0 or not self._is_idle():
            return max(left, 1.0)
        log.info("claims are no longer watched")
        self._watch.stop()
        self._watch = None
        return IDLE_SECONDS
