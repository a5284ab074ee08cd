"""CPU that is left on each node: what it has, less what its pods have requested. GPUs are of no use without."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from partita_plugins.errors import InvalidInput
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.reflector import Reflector
from partita_plugins.kube.resources import PODS
from partita_plugins.wire.resource import ObjectMeta
from partita_scheduler.allocator.capacity import parsed
from partita_scheduler.cluster.view import ApiValue, Node, Pod, PodSpec
from partita_scheduler.policy.claims import cpu_milli

BOUND = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
"""Field selector of the pods that hold CPU."""

LEVELS = 32
"""Of a node's CPU: what is left counts in so many steps, so that nodes that differ by little stay alike."""

LEAST_STEP_MILLI = 1000
PATIENCE_SECONDS = 60.0
"""After that nobody waits for the pods any more."""


def nobody_counts(_node: Node) -> None:
    """What is known of a node's CPU where it is not counted."""


class BoundPod(ApiValue, frozen=True, kw_only=True):
    """A pod that has a node, as far as CPU goes. There may be a hundred thousand."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    requested_milli: int = 0


def small(pod: BoundPod) -> BoundPod:
    """The same without what is not needed once it is read."""
    meta = pod.metadata
    return BoundPod(
        metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, resource_version=meta.resource_version),
        spec=PodSpec(node_name=pod.spec.node_name),
        requested_milli=cpu_milli(Pod(spec=pod.spec)),
    )


def step_milli(has_milli: int) -> int:
    """The step in which what is left of a node's CPU counts."""
    return -(-max(LEAST_STEP_MILLI, has_milli // LEVELS) // LEAST_STEP_MILLI) * LEAST_STEP_MILLI


class CpuTally:
    """What the pods of each node have requested. Changed by one thread, read by any."""

    def __init__(self) -> None:
        self._requested: dict[str, int] = {}

    def change(self, old: BoundPod | None, new: BoundPod | None) -> str:
        """Take a change in; the node that has more or less than before, empty if none has."""
        before, after = old.requested_milli if old else 0, new.requested_milli if new else 0
        pod = new or old
        node = pod.spec.node_name if pod else None
        if not node or before == after:
            return ""
        self._requested[node] = self._requested.get(node, 0) + after - before
        return node

    def left_milli(self, node: Node) -> int | None:
        """Milli-CPU that pods can still request there, in steps, rounded down; None where the node does not say."""
        try:
            has = int(1000 * parsed(str(node.status.allocatable["cpu"])))
        except (KeyError, InvalidInput):
            return None
        left = max(0, has - self._requested.get(node.metadata.name, 0))
        return left - left % step_milli(has)


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
        if node := self._tally.change(old, new):
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
        found = {name: self._tally.left_milli(node) for name, node in nodes.items()}
        return {name: left for name, left in found.items() if left is not None}

    def requested_milli(self, namespace: str, name: str) -> int | None:
        """Of one pod; None if it is not bound, or not known."""
        pod = self._pods.get(name, namespace)
        return pod.requested_milli if pod else None
