"""Whether a node is open to a pod at all, roughly: name, selector, cordon, taints. The rest kube-scheduler knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from partita_plugins.wire.objects import Taint, Toleration
from partita_scheduler.cluster.view import Node, Pod
from partita_scheduler.reasons import Reason

_CORDON = "node.kubernetes.io/unschedulable"


def closed(node: Node, pod: Pod) -> Reason | None:
    """Why the node is not for this pod, whatever its GPUs; None if it is open."""
    if pod.spec.node_name and pod.spec.node_name != node.metadata.name:
        return Reason("node_name", "the pod names another node")
    labels = node.metadata.labels
    for key, value in pod.spec.node_selector.items():
        if labels.get(key) != value:
            return Reason("node_selector", f"node selector {key}={value} does not match")
    if node.spec.unschedulable and not _tolerated(Taint(key=_CORDON), pod.spec.tolerations):
        return Reason("cordoned", "cordoned")
    for taint in node.spec.taints:
        if taint.effect != "PreferNoSchedule" and taint.key != _CORDON and not _tolerated(taint, pod.spec.tolerations):
            return Reason("node_taint", f"node taint {taint.key} not tolerated")
    return None


def partition(nodes: Mapping[str, Node], pod: Pod) -> tuple[list[str], dict[str, tuple[Reason, ...]]]:
    """Names of the nodes that are open to the pod, sorted, and of the rest with the reason."""
    judged = {name: closed(node, pod) for name, node in nodes.items()}
    return (
        sorted(name for name, reason in judged.items() if reason is None),
        {name: (reason,) for name, reason in judged.items() if reason is not None},
    )


def not_avoided(names: Sequence[str], avoided: Mapping[str, Sequence[Taint]], pod: Pod) -> Sequence[str]:
    """The nodes but those with PreferNoSchedule taints, as `avoided` has them, that the pod does not tolerate."""
    if not avoided:
        return names
    tolerations = pod.spec.tolerations
    return [name for name in names if all(_tolerated(taint, tolerations) for taint in avoided.get(name, ()))]


def _tolerated(taint: Taint, tolerations: list[Toleration]) -> bool:
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    return toleration.operator == "Exists" or (toleration.key == taint.key and toleration.value == taint.value)
