"""What the extender's own decision code says about a case."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from hack.benchmarks.predict.case import ALLOCATED, ERROR, EXTENDED, UNSCHEDULABLE, Case, Json, Outcome, told

from partita_plugins.wire.resource_claim import DeviceClass, ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_plugins.wire.taint_rule import DeviceTaintRule
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.cluster.slice_index import indexed
from partita_scheduler.cluster.view import EXTENDED_CLAIM_NAME, ClusterView, Node, Pod
from partita_scheduler.policy.decision import decide

T = TypeVar("T")

NAMESPACE = "predict"
UNDECIDED = "undecided"


def view(case: Case, server_minor: int) -> ClusterView:
    """The cluster as the extender would see it, of this case alone."""
    everything = rules_for(server_minor).rule_without_selector_taints_all
    slices = indexed(
        _all(case.slices, ResourceSlice), _all(case.rules, DeviceTaintRule), all_without_selector=everything
    )
    node = msgspec.convert(case.node, Node)
    return ClusterView(
        nodes={node.metadata.name: node},
        slices=slices,
        classes={one.metadata.name: one for one in _all(case.classes, DeviceClass)},
        claims={(one.metadata.namespace, one.metadata.name): one for one in _all(case.claims, ResourceClaim)},
        server_minor=server_minor,
    )


def pod_of(case: Case) -> Pod:
    return msgspec.convert(case.pod, Pod)


def predict(case: Case, server_minor: int) -> Outcome:
    """What kube-scheduler will do with the pod."""
    pod, name = pod_of(case), str(case.node["metadata"]["name"])
    verdict = decide(view(case, server_minor), pod, [name]).verdicts[name]
    message = "; ".join(str(reason) for reason in verdict.reasons)
    if verdict.undecided:
        return Outcome(kind=UNDECIDED, message=message)
    if verdict.allocations is None:
        aborted = any(reason.code in {"abort", "unbindable"} for reason in verdict.reasons)
        return Outcome(kind=ERROR if aborted else UNSCHEDULABLE, message=message)
    claims = {
        EXTENDED if claim == EXTENDED_CLAIM_NAME else claim: told(found) for claim, found in verdict.allocations.items()
    }
    return Outcome(kind=ALLOCATED, claims=claims)


def placed(case: Case) -> Case:
    """A case as if the API server had it: namespaces, UIDs, defaults. For a look without a control plane."""
    claims = [_named(claim) for claim in case.claims]
    return msgspec.structs.replace(case, claims=claims, pod=_named(case.pod))


def _named(body: Json) -> Json:
    metadata = body["metadata"]
    return {**body, "metadata": {**metadata, "namespace": NAMESPACE, "uid": f"uid-{metadata['name']}"}}


def _all(bodies: list[Json], kind: type[T]) -> list[T]:
    return [msgspec.convert(body, kind) for body in bodies]
