"""Answers to kube-scheduler: the policy's, or "no opinion" where we had better not have one.

No opinion keeps every node and prefers none. An empty answer would refuse every node, an error would hold the pod up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog
from msgspec import Raw

from partita_plugins.errors import InvalidInput
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource_claim import Allocation
from partita_scheduler.answers.eligibility import not_avoided
from partita_scheduler.answers.recent import Recent
from partita_scheduler.assumed.assumptions import MAX_OPTIONS, Assumptions
from partita_scheduler.cluster.view import Pod, ViewSource
from partita_scheduler.found import Among, Found, Judge
from partita_scheduler.metrics import Metrics
from partita_scheduler.protocol.questions import ExtenderArgs
from partita_scheduler.protocol.replies import Choice, HostPriority

log = structlog.get_logger(__name__)

MAX_DECISIONS_AT_ONCE = 4
"""kube-scheduler asks one question at a time; more at once is not kube-scheduler, or we are too slow."""

LAST = frozenset({"choose", "prioritize"})
"""After these kube-scheduler asks no more about a pod, unless a nominated node was refused."""

NOWHERE = "nowhere"
"""As we see it the pod fits on none of the nodes where kube-scheduler found it to fit: a claim or a change that has not
been seen here yet, nodes that were not searched in time, or a rule of kube-scheduler's that we don't have."""

T = TypeVar("T")


class Decider:
    """Decides for the extender's verbs. Thread-safe."""

    def __init__(
        self,
        source: ViewSource,
        assumptions: Assumptions,
        metrics: Metrics,
        *,
        judge: Judge,
        answering: Callable[[], bool] = lambda: True,
        max_at_once: int = MAX_DECISIONS_AT_ONCE,
    ) -> None:
        self._source, self._assumptions, self._metrics = source, assumptions, metrics
        self._judge, self._answering = judge, answering
        self.answered = judge.answered
        """For those who answer without us."""

        self._slots = threading.BoundedSemaphore(max_at_once)
        self.recent = Recent()
        self._awaited: ExtenderArgs | None = None

    def doubt(self) -> str:
        """Why we have no opinion now: "standby", "not_synced", "stale", "behind", or empty."""
        if not self._answering():
            return "standby"
        return self._source.doubt() or ("behind" if self._judge.behind else "")

    @property
    def marks(self) -> tuple[bytes, ...]:
        """As the judge's."""
        return self._judge.marks

    @property
    def stands_by(self) -> bool:
        """Another replica answers."""
        return not self._answering()

    def filter(self, args: ExtenderArgs) -> Mapping[str, str]:
        """The nodes to refuse, with the reason: those that break a wish which the API cannot express.

        Raises InvalidInput where the names are needed and are none; nothing else.
        """
        return self._answer("filter", args, self._filter, {})

    def choose(self, args: ExtenderArgs) -> Choice:
        """The one node that is to stay, which is assumed for the pod.

        None where the pod gets no device of ours, or has had the node before and is asked about again and again: then
        all stay but those that filter refuses. Raises as filter does.
        """
        return self._answer("choose", args, self._choose, Choice())

    def prioritize(self, args: ExtenderArgs) -> list[HostPriority] | Raw:
        """Ten for one node, at most five for the rest, and that node is assumed for the pod.

        Empty where all nodes are equal to us: kube-scheduler takes what is not named for 0. Raises as filter does.
        """
        equal: list[HostPriority] | Raw = []
        return self._answer("prioritize", args, self._prioritize, equal)

    def expect(self, args: ExtenderArgs) -> None:
        """Filter has been answered, and prioritize will be asked about the same: what it needs may be made now."""
        if self._awaited is not args:
            return
        try:
            self._judge.expect(args.pod, args.node_names)
        except Exception:
            # Prioritize will meet it again, and have no opinion.
            log.exception("not made ready", pod=args.pod.key)

    def concerns_us(self, pod: Pod) -> bool:
        return self._judge.concerns_us(pod)

    def _answer(self, verb: str, args: ExtenderArgs, act: Callable[[ExtenderArgs], T | None], neutral: T) -> T:
        started = time.perf_counter()
        outcome = "no_opinion"
        try:
            reason = self.doubt()
            if reason or not self._slots.acquire(blocking=False):
                self._no_opinion(verb, args, reason or "overload")
                self._assumptions.forget(args.pod.metadata.uid)
                return neutral
            try:
                answer = act(args)
            finally:
                self._slots.release()
            outcome = "not_concerned" if answer is None else "opinion"
        except InvalidInput:
            outcome = "bad_request"
            raise
        except Exception:
            # Whatever it is, the pod must not wait for it.
            log.exception("no opinion", verb=verb, pod=args.pod.key)
            self._metrics.no_opinion.labels("error").inc()
            return neutral
        else:
            return neutral if answer is None else answer
        finally:
            self.answered(last=verb in LAST)
            if outcome != "bad_request":  # which its reader counts
                self._metrics.request_seconds.labels(verb, outcome).observe(time.perf_counter() - started)

    def _no_opinion(self, verb: str, args: ExtenderArgs, reason: str) -> None:
        self._metrics.no_opinion.labels(reason).inc()
        log.info("no opinion", verb=verb, pod=args.pod.key, reason=reason)

    def _filter(self, args: ExtenderArgs) -> Mapping[str, str] | None:
        self._judge.asked(args.pod)
        self._assumptions.forget(args.pod.metadata.uid)
        may_refuse = self._judge.may_refuse(args.pod)
        if may_refuse is None:
            return None
        if not may_refuse and len(args.node_names) != 1:
            self._awaited = args
            return {}
        found = self._judge.find(args.pod, args.node_names)
        refused = found.refusals(args.node_names) if found else {}
        kept = [name for name in args.node_names if name not in refused]
        if found and len(kept) == 1:
            self._take(args.pod, found, found.among(kept))  # prioritize is not called for a single node
        return refused

    def _choose(self, args: ExtenderArgs) -> Choice | None:
        self._judge.asked(args.pod)
        self._assumptions.forget(args.pod.metadata.uid)
        found = self._judge.find(args.pod, args.node_names)
        if found is None:
            return None
        refused = found.refusals(args.node_names)
        kept = [name for name in args.node_names if name not in refused] if refused else args.node_names
        # Of kube-scheduler's plugins none has a say when one node is left: this one's wish is cheap to keep.
        among = found.among(not_avoided(kept, self._judge.avoided, args.pod))
        among = among if among.best else found.among(kept)
        if kept and not among.best:
            self._no_opinion("choose", args, NOWHERE)
        return Choice(node=self._prefer("choose", args, found, among), refused=refused)

    def _prioritize(self, args: ExtenderArgs) -> list[HostPriority] | Raw | None:
        self._assumptions.forget(args.pod.metadata.uid)
        if not self._judge.may_concern(args.pod):
            return None
        found = self._judge.find(args.pod, args.node_names)
        if found is None:
            return None
        among = found.among(args.node_names)
        if not among.best:
            self._no_opinion("prioritize", args, NOWHERE)
        return among.scores(args.node_names) if self._prefer("prioritize", args, found, among) else []

    def _prefer(self, verb: str, args: ExtenderArgs, found: Found, among: Among) -> str:
        """The best node, which is assumed from now on; empty where we had better prefer none."""
        pod = args.pod
        foretold = self._take(pod, found, among)
        ours = any(one.driver == DRIVER_NAME for allocation in foretold.values() for one in allocation.devices.results)
        again = ours and self.recent.tried_enough(pod.metadata.uid, among.best)
        if again:
            self._no_opinion(verb, args, "again")
        if not ours or (again and len(args.node_names) > 1):
            self._assumptions.forget(pod.metadata.uid)  # Nobody knows where it goes.
        return among.best if ours and not again else ""

    def _take(self, pod: Pod, found: Found, among: Among) -> Mapping[str, Allocation]:
        """Assume the best node for the pod; what its claims get there."""
        self.recent.decided(pod.key, among)
        if not among.best:
            return {}
        return self._assumptions.assume(found.view, pod, among.best, among.options(among.best, MAX_OPTIONS))
