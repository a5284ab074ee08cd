"""What is found about a pod: by the extender that answers kube-scheduler, or here where it cannot be asked."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Refused
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_scheduler.answers.report import PodReport, judge
from partita_scheduler.cluster.cpu import BoundPod, CpuTally
from partita_scheduler.cluster.pods import bound_pods
from partita_scheduler.cluster.view import ClusterView, Pod
from partita_scheduler.kubectl.extender import explained
from partita_scheduler.learning.learner import learned
from partita_scheduler.policy.decision import awaits_claims, decide
from partita_scheduler.policy.extended import asks_for_served


def judged(api: KubeApi, pod: Pod, view: ClusterView) -> PodReport:
    """The extender's report; where there is none, one made here, with a note why. Raises ApiError, Unavailable."""
    if not waits(view, pod):
        return judge(view, pod, decide)
    try:
        return explained(api, pod)
    except PartitaError as error:
        report = judge(expecting(api, view), pod, decide)
        note = f"judged here, by the default settings and the pods of today, not by the extender: {error}"
        return msgspec.structs.replace(report, notes=[*report.notes, note])


def waits(view: ClusterView, pod: Pod) -> bool:
    """Whether something of the pod waits for devices. Its plain resources it has as soon as it has a node."""
    return awaits_claims(view, pod) or (not pod.spec.node_name and asks_for_served(view.classes, pod))


def expecting(api: KubeApi, view: ClusterView) -> ClusterView:
    """The view with what an extender adds that has just started: the CPU that is left, the workload that is there.

    Without the CPU for who may not see all pods. Raises ApiError, Unavailable.
    """
    try:
        pods = bound_pods(api)
    except Refused:
        return replace(view, workload=learned(view, lambda _: 0))
    requested = {(pod.metadata.namespace, pod.metadata.name): pod.requested_milli for pod in pods}

    def cpu_milli_of(claim: ResourceClaim) -> int:
        users = [(claim.metadata.namespace, user.name) for user in claim.status.reserved_for]
        return requested.get(users[0], 0) if users else 0

    return replace(view, cpu_left_milli=_left(view, pods), workload=learned(view, cpu_milli_of))


def _left(view: ClusterView, pods: list[BoundPod]) -> dict[str, int]:
    tally = CpuTally()
    for pod in pods:
        tally.change(None, pod)
    return tally.left_by_node(view.nodes)
