"""Pods that wait for a node and, where CPU is counted, what the others hold: each change is one event of one watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.reflector import Key, Listener, Reflector
from partita_plugins.kube.resources import PODS
from partita_scheduler.cluster.cpu import BoundPod, CpuTally, small
from partita_scheduler.cluster.view import Node, Pod

LIVE = "status.phase!=Succeeded,status.phase!=Failed"
"""Field selector of the pods that have not ended: kube-scheduler knows no others."""

UNBOUND = f"spec.nodeName=,{LIVE}"
"""Field selector of the pods still to be placed."""

BOUND = f"spec.nodeName!=,{LIVE}"
"""Field selector of the pods that hold CPU."""

PATIENCE_SECONDS = 60.0
"""After that nobody waits for the pods that hold CPU any more."""

GATHER_SECONDS = 0.02
"""While changes come closer than that, they are taken in together: a thread's turn costs more than most changes."""

DRAINED_SECONDS = 0.0005
"""A change for which the watch waited longer was the last that had come."""

PROMPT_SECONDS = 1.0
"""So long after a pod that may be ours nothing waits: when pods are seen to come tells what kube-scheduler knew."""

Seen = Pod | BoundPod
"""A pod is kept whole while it waits; once it has a node, there may be a hundred thousand of them."""

P = TypeVar("P", Pod, BoundPod)


def kept(pod: Seen) -> Seen:
    """What is kept of a pod just decoded."""
    return small(pod) if isinstance(pod, Pod) and pod.spec.node_name else pod


def bound_pods(api: KubeApi) -> list[BoundPod]:
    """Those that hold CPU now. Raises ApiError, Unavailable."""
    found: tuple[list[Seen], str] = api.list(PODS, as_=Pod, made=kept, fieldSelector=BOUND)
    return [pod for pod in found[0] if isinstance(pod, BoundPod)]


class _LivePods(Reflector[Seen]):
    """All pods that have not ended. Those that wait are listed first, so that nobody waits for a hundred thousand."""

    def __init__(self, api: KubeApi, listener: Listener[Seen], clock: Callable[[], float]) -> None:
        self._clock = clock
        super().__init__(api, PODS, Pod, listener, made=kept, fieldSelector=LIVE)
        self.complete = threading.Event()
        """Set once all are known."""

        self.prompt_until = -float("inf")
        """Until then each change is taken in at once."""

    def _relist(self) -> str:
        unbound, _ = self._api.list(PODS, as_=Pod, fieldSelector=UNBOUND)
        bound = (pod for pod in self.snapshot().values() if isinstance(pod, BoundPod))
        self._take_in([*bound, *unbound])  # Of a pod made anew the one that waits is the later one.
        version = super()._relist()
        self.complete.set()
        return version

    def _rest(self, waited_seconds: float) -> None:
        if DRAINED_SECONDS < waited_seconds < GATHER_SECONDS and self._clock() > self.prompt_until:
            self._stopping.wait(GATHER_SECONDS)


class PodWatch:
    """The watch. Pods that are not known yet hold nothing."""

    def __init__(
        self,
        api: KubeApi,
        listener: Listener[Pod] = lambda _old, _new: None,
        *,
        tally: CpuTally | None = None,
        node_listener: Callable[[str], None] = lambda _: None,
        may_concern: Callable[[Pod], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`listener` is told of the pods that wait: one that gets bound or ends is told of as deleted.

        `tally` counts what the others hold, and `node_listener` is told the node of each change. None: they are not
        watched. Without any that wait and `may_concern` us changes may be told of GATHER_SECONDS later.
        """
        self._listener, self._tally, self._node_listener, self._clock = listener, tally, node_listener, clock
        self._may_concern = may_concern
        self._unbound: dict[Key, Pod] = {}
        self._lock = threading.Lock()
        self._live = _LivePods(api, self._changed, clock) if tally is not None else None
        self._pods: Reflector[Seen] = self._live or Reflector(api, PODS, Pod, self._changed, fieldSelector=UNBOUND)
        self._began = clock()

    def start(self) -> None:
        self._began = self._clock()
        self._pods.start()

    def stop(self) -> None:
        self._pods.stop()

    @property
    def synced(self) -> bool:
        """Whether the pods that wait are known."""
        return self._pods.synced

    @property
    def age_seconds(self) -> float:
        """Since the API server last said anything on this watch."""
        return self._pods.age_seconds

    def unbound_pods(self) -> list[Pod]:
        """Pods without a node, oldest first."""
        with self._lock:
            found = list(self._unbound.values())
        return sorted(found, key=lambda pod: pod.metadata.creation_timestamp or "")

    def unbound_pod(self, namespace: str, name: str) -> Pod | None:
        return self._unbound.get((namespace, name))

    @property
    def settled(self) -> bool:
        """Whether the pods that hold CPU are known, or have been waited for long enough."""
        known = self._live is not None and self._live.complete.is_set()
        return known or self._clock() - self._began > PATIENCE_SECONDS

    def left_milli(self, nodes: Mapping[str, Node]) -> dict[str, int]:
        """What each of the nodes that say has left of its CPU; of none where it is not counted."""
        return self._tally.left_by_node(nodes) if self._tally is not None else {}

    def requested_milli(self, namespace: str, name: str) -> int | None:
        """CPU of one pod; None if it is not bound, or not known."""
        pod = self._pods.get(name, namespace)
        return pod.requested_milli if isinstance(pod, BoundPod) else None

    def _changed(self, old: Seen | None, new: Seen | None) -> None:
        if self._tally is not None:
            for node in self._tally.change(_as(BoundPod, old), _as(BoundPod, new)):
                self._node_listener(node)
        was, now = _as(Pod, old), _as(Pod, new)
        if was is None and now is None:
            return
        # Whoever is told of a change finds it here.
        with self._lock:
            if now is not None:
                self._unbound[now.metadata.namespace, now.metadata.name] = now
            elif was is not None:
                self._unbound.pop((was.metadata.namespace, was.metadata.name), None)  # it may be told of again
        if self._live is not None and now is not None and self._may_concern(now):
            self._live.prompt_until = self._clock() + PROMPT_SECONDS
        self._listener(was, now)


def _as(kind: type[P], pod: Seen | None) -> P | None:
    return pod if isinstance(pod, kind) else None
