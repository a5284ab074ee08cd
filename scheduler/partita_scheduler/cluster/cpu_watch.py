"""Every node's CPU, kept by a watch on the pods that hold it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.reflector import Reflector
from partita_plugins.kube.resources import PODS
from partita_scheduler.cluster.cpu import BoundPod, CpuTally, small
from partita_scheduler.cluster.view import Node

BOUND = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
"""Field selector of the pods that hold CPU."""

PATIENCE_SECONDS = 60.0
"""After that nobody waits for the pods any more."""


class CpuWatch:
    """The tally of a cluster, kept by a watch. Pods that are not known yet hold nothing."""

    def __init__(
        self,
        api: KubeApi,
        tally: CpuTally,
        listener: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`listener` is told the node of each change."""
        self._tally, self._listener, self._clock = tally, listener, clock
        self._pods = Reflector(api, PODS, BoundPod, self._changed, made=small, fieldSelector=BOUND)
        self._began = clock()

    def _changed(self, old: BoundPod | None, new: BoundPod | None) -> None:
        for node in self._tally.change(old, new):
            self._listener(node)

    def start(self) -> None:
        self._began = self._clock()
        self._pods.start()

    def stop(self) -> None:
        self._pods.stop()

    @property
    def settled(self) -> bool:
        """Whether the pods are known, or have been waited for long enough."""
        return self._pods.synced or self._clock() - self._began > PATIENCE_SECONDS

    def left_milli(self, nodes: Mapping[str, Node]) -> dict[str, int]:
        """What each of the nodes that say has left."""
        return self._tally.left_by_node(nodes)

    def requested_milli(self, namespace: str, name: str) -> int | None:
        """Of one pod; None if it is not bound, or not known."""
        pod = self._pods.get(name, namespace)
        return pod.requested_milli if pod else None
