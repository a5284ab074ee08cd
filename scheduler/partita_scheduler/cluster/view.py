"""What the scheduler side knows of the cluster at one moment: API values, parsed at the edge, and a snapshot of them.

Unknown fields are ignored, so a newer API server does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from partita_plugins.contracts import Workload
from partita_plugins.wire.objects import Condition, ObjectMeta, Taint, Toleration
from partita_plugins.wire.resource_claim import Allocation, DeviceClass, ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.scoring.ranking import Scoring

EXTENDED_CLAIM_NAME = "<extended-resources>"
"""Name of the claim that kube-scheduler makes itself for plain extended resources, while it is only in its memory."""

IDENTITY_ATTRIBUTES = frozenset({"uuid", "gpu.partita.dev/uuid"})
"""What tells equal machines apart, and nothing else."""


class ApiValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of the values below: frozen, camelCase, unknown fields ignored."""


class PodResourceClaim(ApiValue, frozen=True, kw_only=True):
    """An entry of pod.spec.resourceClaims: exactly one of the two names is set."""

    name: str
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class ContainerClaim(ApiValue, frozen=True, kw_only=True):
    """Which of the pod's claims (and which of its requests) a container uses."""

    name: str
    request: str = ""


Amounts = dict[str, str | int | float]
"""Quantities by resource."""


class Resources(ApiValue, frozen=True, kw_only=True):
    limits: Amounts = {}
    requests: Amounts = {}
    claims: list[ContainerClaim] = []


class Container(ApiValue, frozen=True, kw_only=True):
    name: str = ""
    resources: Resources = Resources()
    restart_policy: str | None = None
    """"Always" makes an init container a sidecar."""


class PodSpec(ApiValue, frozen=True, kw_only=True):
    node_name: str | None = None
    resource_claims: list[PodResourceClaim] = []
    containers: list[Container] = []
    init_containers: list[Container] = []
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    resources: Resources = Resources()
    """Of the pod as a whole."""

    overhead: Amounts = {}


class PodClaimStatus(ApiValue, frozen=True, kw_only=True):
    """Which claim was made for an entry of spec.resourceClaims; None where none is needed."""

    name: str
    resource_claim_name: str | None = None


class ExtendedClaimStatus(ApiValue, frozen=True, kw_only=True):
    """The claim that kube-scheduler made for the pod's extended resources."""

    resource_claim_name: str = ""


class PodStatus(ApiValue, frozen=True, kw_only=True):
    phase: str = ""
    conditions: list[Condition] = []
    resource_claim_statuses: list[PodClaimStatus] = []
    extended_resource_claim_status: ExtendedClaimStatus | None = None


class Pod(ApiValue, frozen=True, kw_only=True):
    """A pod as far as placing it needs."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def key(self) -> str:
        """ "namespace/name", for people."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


class NodeSpec(ApiValue, frozen=True, kw_only=True):
    taints: list[Taint] = []
    unschedulable: bool = False


class NodeStatus(ApiValue, frozen=True, kw_only=True):
    allocatable: dict[str, str] = {}
    conditions: list[Condition] = []


class Node(ApiValue, frozen=True, kw_only=True):
    """A node as far as placing pods needs."""

    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumedAllocation:
    """An allocation that we predicted and have not yet seen in the API."""

    pod_uid: str
    node: str
    claim: tuple[str, str]
    """(namespace, name); the name is EXTENDED_CLAIM_NAME for a claim that is not in the API yet."""

    allocation: Allocation


@dataclass(frozen=True)
class ClusterView:
    """A snapshot: nobody changes its parts after it was made, so whatever is derived from it may be cached."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    slices: Mapping[str, tuple[ResourceSlice, ...]] = field(default_factory=dict)
    """Node name to the slices with that nodeName, of all drivers, sorted by metadata.name; under "" those with
    nodeSelector, allNodes or perDeviceNodeSelection."""

    classes: Mapping[str, DeviceClass] = field(default_factory=dict)
    claims: Mapping[tuple[str, str], ResourceClaim] = field(default_factory=dict)
    """By (namespace, name)."""

    assumed: Mapping[str, AssumedAllocation] = field(default_factory=dict)
    """By claim UID, or by assumed_key() for a claim that is not in the API yet. One whose claim has an allocation in
    `claims` is ignored."""

    cpu_left_milli: Mapping[str, int] = field(default_factory=dict)
    """CPU that pods can still request, by node; absent where nobody counts."""

    workload: Workload = field(default_factory=Workload)
    """The pods to expect."""

    scoring: Scoring = field(default_factory=Scoring)
    server_minor: int = 36
    """Minor version of the API server (36, 37): rules that differ by version come from a table."""


def assumed_key(pod_uid: str, claim: ResourceClaim) -> str:
    """The key of a predicted allocation in ClusterView.assumed."""
    return claim.metadata.uid or f"{pod_uid}/{EXTENDED_CLAIM_NAME}"


class ViewSource(Protocol):
    """Where views come from (ClusterWatch; a fixed one in tests)."""

    @property
    def age_seconds(self) -> float: ...

    def doubt(self) -> str:
        """Why the view must not be used; empty if it may."""

    def view(self) -> ClusterView: ...

    def unbound_pods(self) -> list[Pod]: ...

    def unbound_pod(self, namespace: str, name: str) -> Pod | None: ...
