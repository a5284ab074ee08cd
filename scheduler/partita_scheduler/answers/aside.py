"""Decisions beside kube-scheduler's questions, for simulations and explanations: nothing comes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from partita_plugins.errors import Retryable
from partita_scheduler.answers.rehearsal import Placement, rehearse
from partita_scheduler.assumed.assumptions import Assumptions
from partita_scheduler.cluster.view import ClusterView, Pod
from partita_scheduler.found import Policy
from partita_scheduler.policy import decision as default_policy
from partita_scheduler.policy.decision import Decision

MOST_AT_ONCE = 2
"""They have places of their own, and never take one from kube-scheduler's questions."""


class Aside:
    """The policy with everybody's assumptions, and by what is expected. Thread-safe; Retryable when all are busy."""

    def __init__(
        self,
        assumptions: Assumptions,
        *,
        policy: Policy = default_policy,
        expecting: Callable[[ClusterView], ClusterView] = lambda view: view,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._assumptions, self._policy, self._expecting = assumptions, policy, expecting
        self._slots = threading.BoundedSemaphore(most_at_once)

    def decide(self, view: ClusterView, pod: Pod, node_names: Sequence[str]) -> Decision:
        """About a pod that is there: what is assumed for itself does not stand in its way."""
        with self._beside():
            assumed = self._assumptions.active(excluding=pod.metadata.uid)
            return self._policy.decide(replace(self._expecting(view), assumed=assumed), pod, node_names)

    def rehearse(self, view: ClusterView, pods: Sequence[Pod], node_names: Sequence[str]) -> list[Placement]:
        """Of many pods, one after the other."""
        with self._beside():
            return rehearse(replace(self._expecting(view), assumed=self._assumptions.active()), pods, node_names)

    @contextmanager
    def _beside(self) -> Iterator[None]:
        if not self._slots.acquire(blocking=False):
            raise Retryable("too many simulations at once", delay_seconds=1.0, advice="ask again in a second")
        try:
            yield
        finally:
            self._slots.release()
