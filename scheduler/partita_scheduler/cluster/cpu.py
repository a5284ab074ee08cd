"""CPU that a pod requests, and that is left on each node: GPUs are of no use without. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from sys import intern

from partita_plugins.errors import InvalidInput
from partita_plugins.model.quantity import parsed
from partita_scheduler.cluster.view import Amounts, ApiValue, Node, Pod

LEAST_REQUEST_MILLI = 500
"""Of a request: what is smaller counts as this."""

LEVELS = 32
"""Of a node's CPU: what is left counts in so many steps, so that nodes that differ by little stay alike."""

LEAST_STEP_MILLI = 1000


def cpu_milli(pod: Pod) -> int:
    """CPU that kube-scheduler reckons with: what the pod requests as a whole, or its containers; and its overhead.
    0 where it is not written or not readable: kube-scheduler refuses such a pod by itself."""
    whole = pod.spec.resources.requests
    return _milli(pod.spec.overhead) + (_milli(whole) if "cpu" in whole else _of_containers(pod))


def _of_containers(pod: Pod) -> int:
    """Containers and sidecars together, or the largest init container beside the sidecars that run by then."""
    sidecars = largest = 0
    for one in pod.spec.init_containers:
        requested = _milli(one.resources.requests)
        if one.restart_policy == "Always":
            sidecars += requested
        else:
            largest = max(largest, sidecars + requested)
    return max(largest, sidecars + sum(_milli(one.resources.requests) for one in pod.spec.containers))


def _milli(amounts: Amounts) -> int:
    return _milli_of(amounts["cpu"]) if "cpu" in amounts else 0


@lru_cache(maxsize=8192)
def _milli_of(amount: str | float) -> int:
    try:
        return int(1000 * parsed(str(amount)))
    except InvalidInput:
        return 0


def cpu_in_steps(milli: int) -> int:
    """A request as nodes are judged by it, rounded up to 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, ... CPUs.

    Questions that differ by less have one answer: the extender keeps one for each kind, and not for very many.
    """
    if milli <= 0:
        return 0
    step = LEAST_REQUEST_MILLI
    while step < milli:
        step *= 2
    between = step * 3 // 4
    return between if step > 2 * LEAST_REQUEST_MILLI and milli <= between else step


class BoundPodMeta(ApiValue, frozen=True, kw_only=True, gc=False):
    """Which pod, and as of when."""

    namespace: str = ""
    name: str = ""
    resource_version: str = ""


class BoundPod(ApiValue, frozen=True, kw_only=True, gc=False):
    """A pod that has a node, as far as CPU goes. There may be a hundred thousand."""

    metadata: BoundPodMeta = BoundPodMeta()
    node_name: str
    requested_milli: int = 0


def small(pod: Pod) -> BoundPod:
    """What is kept of a pod that has a node. Names that many pods have are one object."""
    meta = pod.metadata
    return BoundPod(
        metadata=BoundPodMeta(namespace=intern(meta.namespace), name=meta.name, resource_version=meta.resource_version),
        node_name=intern(pod.spec.node_name or ""),
        requested_milli=cpu_milli(pod),
    )


def step_milli(has_milli: int) -> int:
    """The step in which what is left of a node's CPU counts."""
    return -(-max(LEAST_STEP_MILLI, has_milli // LEVELS) // LEAST_STEP_MILLI) * LEAST_STEP_MILLI


def has_milli(node: Node) -> int | None:
    """Milli-CPU that a node has for pods; None where it does not say."""
    try:
        return int(1000 * parsed(str(node.status.allocatable["cpu"])))
    except (KeyError, InvalidInput):
        return None


class CpuTally:
    """What the pods of each node have requested. Changed by one thread, read by any."""

    def __init__(self) -> None:
        self._requested: dict[str, int] = {}

    @classmethod
    def leaving(cls, nodes: Iterable[Node], left_milli: Mapping[str, int]) -> CpuTally:
        """One by which so much is left on these nodes."""
        tally = cls()
        for node in nodes:
            has, left = has_milli(node), left_milli.get(node.metadata.name)
            if has is not None and left is not None:
                tally._requested[node.metadata.name] = has - left
        return tally

    def change(self, old: BoundPod | None, new: BoundPod | None) -> frozenset[str]:
        """Take a change in; the nodes of which more or less is requested than before: two where a pod was made anew
        while nobody watched."""
        more: dict[str, int] = {}
        for pod, sign in ((old, -1), (new, 1)):
            if pod is not None:
                more[pod.node_name] = more.get(pod.node_name, 0) + sign * pod.requested_milli
        changed = frozenset(node for node, milli in more.items() if milli)
        for node in changed:
            requested = self._requested.get(node, 0) + more[node]
            if requested:
                self._requested[node] = requested
            else:
                # Nodes come and go.
                self._requested.pop(node, None)
        return changed

    def left_milli(self, node: Node) -> int | None:
        """Milli-CPU that pods can still request there, in steps, rounded down; None where the node does not say."""
        has = has_milli(node)
        if has is None:
            return None
        left = max(0, has - self._requested.get(node.metadata.name, 0))
        return left - left % step_milli(has)

    def left_by_node(self, nodes: Mapping[str, Node]) -> dict[str, int]:
        """What each of the nodes that say has left."""
        return {name: left for name, node in nodes.items() if (left := self.left_milli(node)) is not None}


def nobody_counts(_node: Node) -> None:
    """What is known of a node's CPU where it is not counted."""
