"""Tells people why a pod with device claims is pending: one plain event, when no node can take it.

kube-scheduler calls no extender for a pod that no node passes, and its event says only "cannot allocate all claims".
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from partita_plugins.errors import PartitaError, Retryable
from partita_scheduler.answers.aside import Aside
from partita_scheduler.answers.decider import Decider
from partita_scheduler.answers.report import judge
from partita_scheduler.cluster.view import Pod, ViewSource
from partita_scheduler.metrics import Metrics

log = structlog.get_logger(__name__)

EVENT_REASON = "GpuPlacement"
STEP_SECONDS = 2.0
BUSY_SECONDS = 0.2
"""Of a step: kube-scheduler's questions are answered beside it, and a pod may take 0.1 s on 5,000 nodes."""

REPEAT_SECONDS = 300.0
CHANGED_SECONDS = 30.0
"""How long other reasons wait: in a busy cluster the counts in them change with every pod."""

EVENTS_PER_MINUTE = 30
PODS_PER_STEP = 20
MAX_REMEMBERED = 2_000


class Recorder(Protocol):
    """Where events go (kube.events.EventRecorder)."""

    def record(self, regarding: dict[str, Any], kind: str, reason: str, message: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Told:
    text: str
    at: float


class Explainer:
    """`step()` looks at the pending pods once; `run()` does it until stopped."""

    def __init__(
        self,
        source: ViewSource,
        decider: Decider,
        aside: Aside,
        recorder: Recorder,
        metrics: Metrics,
        *,
        leading: Callable[[], bool] = lambda: True,
        events_per_minute: int = EVENTS_PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._decider, self._aside = source, decider, aside
        self._recorder, self._metrics = recorder, metrics
        self._leading, self._per_minute, self._clock = leading, events_per_minute, clock
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._written: deque[float] = deque()
        self._looked_at: OrderedDict[str, None] = OrderedDict()

    def run(self, stopping: threading.Event) -> None:
        while not stopping.wait(STEP_SECONDS):
            self.step()

    def step(self) -> int:
        """Explain up to PODS_PER_STEP pods, those not looked at for longest first, and none more after BUSY_SECONDS.

        The number of events written.
        """
        if not self._leading() or self._source.doubt():
            return 0
        pending = {pod.metadata.uid: pod for pod in self._source.unbound_pods() if unschedulable(pod)}
        for gone in [uid for uid in self._looked_at if uid not in pending]:
            del self._looked_at[gone]
        fresh = [uid for uid in pending if uid not in self._looked_at]
        now = self._clock()
        turn = [uid for uid in (*fresh, *self._looked_at) if not self._told_since(uid, now - CHANGED_SECONDS)]
        written = 0
        for uid in turn[:PODS_PER_STEP]:
            self._looked_at[uid] = None
            self._looked_at.move_to_end(uid)
            written += self._explain(pending[uid])
            if self._clock() - now >= BUSY_SECONDS:
                break
        return written

    def _explain(self, pod: Pod) -> bool:
        try:
            text = self._text(pod)
            return bool(text) and self._tell(pod, text)
        except Retryable as error:
            log.info("not explained yet", pod=pod.key, error=str(error))
        except PartitaError as error:
            self._metrics.explainer_events.labels("failed").inc()
            log.warning("event not written", pod=pod.key, error=str(error))
        except Exception:
            # One odd pod must not keep the others from being explained.
            self._metrics.explainer_events.labels("failed").inc()
            log.exception("pod not explained", pod=pod.key)
        return False

    def _text(self, pod: Pod) -> str:
        if not self._decider.concerns_us(pod):
            return ""
        report = judge(self._source.view(), pod, self._aside.decide)
        if report.fits or not report.summary or any(node.undecided for node in report.nodes):
            return ""
        return "; ".join([f"No node can take this pod: {report.summary}", *report.notes])

    def _tell(self, pod: Pod, text: str) -> bool:
        now, uid = self._clock(), pod.metadata.uid
        told = self._told.get(uid)
        if told is not None and told.text == text and now - told.at < REPEAT_SECONDS:
            return False
        if not self._may_write(now):
            self._metrics.explainer_events.labels("limited").inc()
            return False
        self._recorder.record(_reference(pod), "Warning", EVENT_REASON, text)
        self._written.append(now)
        self._told.pop(uid, None)
        self._told[uid] = _Told(text, now)
        while len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)
        self._metrics.explainer_events.labels("written").inc()
        log.info("explained", pod=pod.key, text=text)
        return True

    def _told_since(self, uid: str, moment: float) -> bool:
        told = self._told.get(uid)
        return told is not None and told.at > moment

    def _may_write(self, now: float) -> bool:
        while self._written and now - self._written[0] >= 60.0:
            self._written.popleft()
        return len(self._written) < self._per_minute


def unschedulable(pod: Pod) -> bool:
    """kube-scheduler has tried the pod and found no node."""
    if pod.metadata.deletion_timestamp or pod.status.phase not in ("", "Pending"):
        return False
    return any(
        condition.type == "PodScheduled" and condition.status == "False" and condition.reason == "Unschedulable"
        for condition in pod.status.conditions
    )


def _reference(pod: Pod) -> dict[str, Any]:
    metadata = pod.metadata
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": metadata.name,
        "namespace": metadata.namespace,
        "uid": metadata.uid,
        "resourceVersion": metadata.resource_version,
    }
