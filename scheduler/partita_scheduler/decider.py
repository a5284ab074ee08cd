"""Answers to kube-scheduler: the policy's, or "no opinion" where we had better not have one.

No opinion keeps every node and prefers none. An empty answer would refuse every node, an error would hold the pod up.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import structlog

from partita_plugins.errors import Retryable
from partita_scheduler import policy as default_policy
from partita_scheduler.assume import Assumptions
from partita_scheduler.metrics import Metrics
from partita_scheduler.policy import Decision
from partita_scheduler.protocol import ExtenderArgs, ExtenderFilterResult, HostPriority
from partita_scheduler.view import ClusterView, Pod

log = structlog.get_logger(__name__)

MAX_DECISIONS_AT_ONCE = 4
"""kube-scheduler asks one question at a time; more at once is not kube-scheduler, or we are too slow."""

MAX_ASIDE_AT_ONCE = 2
"""Simulations and explanations; they never take a place from kube-scheduler's questions."""

MAX_REMEMBERED = 64
T = TypeVar("T")


class ViewSource(Protocol):
    """Where views come from (watch.ClusterWatch; a fixed one in tests)."""

    @property
    def age_seconds(self) -> float: ...

    def doubt(self) -> str:
        """Why the view must not be used; empty if it may."""

    def view(self) -> ClusterView: ...

    def unbound_pods(self) -> list[Pod]: ...

    def unbound_pod(self, namespace: str, name: str) -> Pod | None: ...


class Policy(Protocol):
    """The pure decision (module policy)."""

    def concerns_us(self, view: ClusterView, pod: Pod) -> bool: ...

    def decide(self, view: ClusterView, pod: Pod, node_names: Sequence[str]) -> Decision: ...

    def scores(self, decision: Decision, node_names: Sequence[str]) -> dict[str, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision with what it was made from."""

    pod: Pod
    base: ClusterView
    view: ClusterView
    """`base` with assumptions."""

    decision: Decision

    def covers(self, pod: Pod, base: ClusterView, view: ClusterView, node_names: Sequence[str]) -> bool:
        """Whether deciding again would find the same: filter and prioritize of one cycle ask twice."""
        return (
            self.pod == pod
            and self.base is base
            and self.view.assumed == view.assumed
            and all(name in self.decision.verdicts for name in node_names)
        )


class Decider:
    """Decides for the extender's verbs. Thread-safe."""

    def __init__(
        self,
        source: ViewSource,
        assumptions: Assumptions,
        metrics: Metrics,
        *,
        policy: Policy = default_policy,
        answering: Callable[[], bool] = lambda: True,
        max_at_once: int = MAX_DECISIONS_AT_ONCE,
    ) -> None:
        self._source, self._assumptions, self._metrics, self._policy = source, assumptions, metrics, policy
        self._answering = answering
        self._slots = threading.BoundedSemaphore(max_at_once)
        self._aside = threading.BoundedSemaphore(MAX_ASIDE_AT_ONCE)
        self._last: Decided | None = None
        self._remembered: OrderedDict[str, Decision] = OrderedDict()
        self._lock = threading.Lock()

    def doubt(self) -> str:
        """Why we have no opinion now: "standby", "not_synced", "stale", or empty."""
        return self._source.doubt() if self._answering() else "standby"

    def filter(self, args: ExtenderArgs) -> ExtenderFilterResult:
        """All nodes but those that break a wish which the API cannot express. Never raises."""
        return self._answer("filter", args, self._filter, ExtenderFilterResult(node_names=list(args.node_names)))

    def prioritize(self, args: ExtenderArgs) -> list[HostPriority]:
        """Ten for one node, at most five for the rest, and that node is assumed for the pod. Never raises."""
        equal = [HostPriority(host=name, score=0) for name in args.node_names]
        return self._answer("prioritize", args, self._prioritize, equal)

    def decide_again(self, view: ClusterView, pod: Pod, node_names: Sequence[str]) -> Decision:
        """A decision without side effects, with everybody else's assumptions. Raises Retryable when all are busy."""
        if not self._aside.acquire(blocking=False):
            raise Retryable("too many simulations at once", delay_seconds=1.0, advice="ask again in a second")
        try:
            assumed = self._assumptions.active(excluding=pod.metadata.uid)
            return self._policy.decide(replace(view, assumed=assumed), pod, node_names)
        finally:
            self._aside.release()

    def concerns_us(self, pod: Pod) -> bool:
        return self._policy.concerns_us(self._source.view(), pod)

    def scores(self, decision: Decision, node_names: Sequence[str]) -> dict[str, int]:
        return self._policy.scores(decision, node_names)

    def last_decision(self, key: str) -> Decision | None:
        """What was last decided for "namespace/name", as long as it is remembered."""
        with self._lock:
            return self._remembered.get(key)

    def _answer(self, verb: str, args: ExtenderArgs, act: Callable[[ExtenderArgs], T | None], neutral: T) -> T:
        started = time.perf_counter()
        outcome = "no_opinion"
        try:
            reason = self.doubt()
            if reason or not self._slots.acquire(blocking=False):
                self._no_opinion(verb, args, reason or "overload")
                return neutral
            try:
                answer = act(args)
            finally:
                self._slots.release()
            outcome = "not_concerned" if answer is None else "opinion"
        except Exception:
            # Whatever it is, the pod must not wait for it.
            log.exception("no opinion", verb=verb, pod=args.pod.key)
            self._metrics.no_opinion.labels("error").inc()
            return neutral
        else:
            return neutral if answer is None else answer
        finally:
            self._metrics.request_seconds.labels(verb, outcome).observe(time.perf_counter() - started)

    def _no_opinion(self, verb: str, args: ExtenderArgs, reason: str) -> None:
        self._metrics.no_opinion.labels(reason).inc()
        log.info("no opinion", verb=verb, pod=args.pod.key, reason=reason)

    def _filter(self, args: ExtenderArgs) -> ExtenderFilterResult | None:
        self._assumptions.forget(args.pod.metadata.uid)
        decided = self._decide(args)
        if decided is None:
            return None
        refused = decided.decision.hard_refusals
        kept = [name for name in args.node_names if name not in refused]
        if len(kept) == 1:
            self._take(decided, kept[0])  # prioritize is not called for a single node
        return ExtenderFilterResult(
            node_names=kept, failed_nodes={name: refused[name] for name in args.node_names if name in refused}
        )

    def _prioritize(self, args: ExtenderArgs) -> list[HostPriority] | None:
        decided = self._decide(args)
        if decided is None:
            return None
        found = self._policy.scores(decided.decision, args.node_names)
        asked = set(args.node_names)
        first = next((name for name in decided.decision.order if name in asked), "")
        if first:
            self._take(decided, first)
        return [HostPriority(host=name, score=found.get(name, 0)) for name in args.node_names]

    def _decide(self, args: ExtenderArgs) -> Decided | None:
        # Assumptions before the view: one that is dropped in between has its allocation in the view already.
        assumed = self._assumptions.active(excluding=args.pod.metadata.uid)
        base = self._source.view()
        if not self._policy.concerns_us(base, args.pod):
            return None
        view = replace(base, assumed=assumed)
        last = self._last
        if last is not None and last.covers(args.pod, base, view, args.node_names):
            return last
        decision = self._policy.decide(view, args.pod, args.node_names)
        decided = Decided(pod=args.pod, base=base, view=view, decision=decision)
        self._last = decided
        with self._lock:
            self._remembered.pop(args.pod.key, None)
            self._remembered[args.pod.key] = decision
            while len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return decided

    def _take(self, decided: Decided, node: str) -> None:
        verdict = decided.decision.verdicts.get(node)
        if verdict is not None and verdict.allocations:
            self._assumptions.assume(decided.view, decided.pod, node, decided.decision)
