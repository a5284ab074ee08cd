"""One cluster twice: as the kept state was told of it, change by change, and whole."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from partita_plugins.contracts import PodShape, Workload
from partita_plugins.model.offer import Offer
from partita_plugins.wire.objects import ObjectMeta, OwnerReference, Taint
from partita_plugins.wire.resource_claim import DeviceClass, ResourceClaim, ResourceClaimStatus
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_plugins.wire.taint_rule import DeviceTaintRule
from partita_scheduler.allocator.allocation import devices_of
from partita_scheduler.allocator.in_use import EXTENDED_CLAIM_ANNOTATION
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.assumed.assumptions import MAX_OPTIONS, Assumptions
from partita_scheduler.cluster.cpu import BoundPod, CpuTally
from partita_scheduler.cluster.slice_index import SliceIndex
from partita_scheduler.cluster.taint_rules import tainted
from partita_scheduler.cluster.view import ClusterView, Node, NodeStatus, Pod
from partita_scheduler.found import Found
from partita_scheduler.kept.state import KeptState
from partita_scheduler.metrics import Metrics
from partita_scheduler.policy import decision as policy
from partita_scheduler.policy.decision import Decision
from tests.scheduler.decision.fleet import CLASSES, NAMESPACE, claim, exactly, slices
from tests.scheduler.edge.fakes import Clock

MINORS = (37, 36)
OFFER = Offer(mig_shapes=frozenset({"1g", "2g"}), shared=True)
NODES = ("a", "b", "c", "d")
FAULT = Taint(key="gpu.partita.dev/fault", value="stuck-bit", effect="NoSchedule")
WISHES: dict[str, list[dict[str, Any]]] = {
    "one": [exactly()],
    "two": [exactly(count=2)],
    "part": [exactly(kind="mig-1g")],
    "share": [exactly(kind="shared", capacity={"requests": {"memory": "4Gi"}})],
    "both": [exactly(), exactly("part", kind="mig-2g")],
    "all": [exactly(kind="mig-2g", allocationMode="All")],
    "admin": [exactly(kind="any", adminAccess=True)],
    "tolerant": [exactly(count=4, tolerations=[{"key": "k0", "operator": "Exists"}])],
    "either": [
        {
            "name": "gpu",
            "firstAvailable": [
                {"name": "two", "deviceClassName": "gpu.partita.dev", "count": 2},
                {"name": "one", "deviceClassName": "mig-1g.gpu.partita.dev"},
            ],
        }
    ],
}


@dataclass
class Twice:
    """Every method changes both alike."""

    clock: Clock = field(default_factory=Clock)
    nodes: dict[str, Node] = field(default_factory=dict)
    classes: dict[str, DeviceClass] = field(default_factory=dict)
    claims: dict[tuple[str, str], ResourceClaim] = field(default_factory=dict)
    slices: dict[str, ResourceSlice] = field(default_factory=dict)
    rules: dict[str, DeviceTaintRule] = field(default_factory=dict)
    minor: int = MINORS[0]
    meanwhile: Pod | None = None
    """Who is asked about when slices have changed and nobody has been told yet."""

    def __post_init__(self) -> None:
        self.index = SliceIndex(all_without_selector=self.all_without_selector)
        self.tally = CpuTally()
        self.kept = KeptState(
            self.index.value, lambda: self.minor, cpu_left_milli=self.tally.left_milli, clock=self.clock
        )
        self.assumptions = Assumptions(Metrics(), clock=self.clock, listener=self.kept.told.assumption_changed)
        for found in CLASSES.values():
            self.device_class(found)

    @property
    def all_without_selector(self) -> bool:
        return rules_for(self.minor).rule_without_selector_taints_all

    def view(self) -> ClusterView:
        by_node: dict[str, list[ResourceSlice]] = {}
        rules = [self.rules[name] for name in sorted(self.rules)]
        for name in sorted(self.slices):
            one = tainted(self.slices[name], rules, all_without_selector=self.all_without_selector)
            by_node.setdefault(one.spec.node_name or "", []).append(one)
        return ClusterView(
            nodes=dict(self.nodes),
            slices={name: tuple(found) for name, found in by_node.items()},
            classes=dict(self.classes),
            claims=dict(self.claims),
            cpu_left_milli=self.kept.told.cluster._cpu,
            workload=self.kept.told.cluster.workload,
            server_minor=self.minor,
        )

    def node(self, name: str, *, labels: dict[str, str] | None = None, own: str = "0") -> None:
        new = Node(
            metadata=ObjectMeta(name=name, labels=labels or {}),
            status=NodeStatus(allocatable={"nvidia.com/gpu": own, "cpu": "64"}),
        )
        old, self.nodes[name] = self.nodes.get(name), new
        self.kept.told.node_changed(old, new)

    def no_node(self, name: str) -> None:
        self.kept.told.node_changed(self.nodes.pop(name, None), None)

    def device_class(self, new: DeviceClass) -> None:
        old, self.classes[new.metadata.name] = self.classes.get(new.metadata.name), new
        self.kept.told.class_changed(old, new)

    def no_class(self, name: str) -> None:
        self.kept.told.class_changed(self.classes.pop(name, None), None)

    def slice(self, new: ResourceSlice) -> None:
        old, self.slices[new.metadata.name] = self.slices.get(new.metadata.name), new
        self.index.change(old, new)
        self._untold()
        self.kept.told.slice_changed(old, new)

    def no_slice(self, name: str) -> None:
        old = self.slices.pop(name, None)
        self.index.change(old, None)
        self._untold()
        self.kept.told.slice_changed(old, None)

    def rule(self, name: str, **spec: Any) -> None:
        """An administrator's rule; one without `spec` is taken away."""
        old = self.rules.pop(name, None)
        new = msgspec.convert({"metadata": {"name": name}, "spec": spec}, DeviceTaintRule) if spec else None
        if new is not None:
            self.rules[name] = new
        touched = self.index.rule(old, new)
        self._untold()
        self.kept.told.tainted(touched)

    def _untold(self) -> None:
        if self.meanwhile is not None:
            self.kept.find(self.meanwhile, list(NODES))

    def upgraded(self, minor: int) -> None:
        """To a version that reads rules otherwise."""
        self.minor = minor
        self.kept.told.tainted(self.index.read_rules(all_without_selector=self.all_without_selector))

    def publish(self, name: str, machine: str = "a30-x4", *, faulty: tuple[int, ...] = (), some: bool = False) -> None:
        """A node's slices; `some`: the last one is not there yet."""
        found = slices(name, machine, OFFER, taints=dict.fromkeys(faulty, FAULT))
        for one in found[:-1] if some else found:
            self.slice(one)

    def claim(self, new: ResourceClaim) -> None:
        key = (new.metadata.namespace, new.metadata.name)
        old, self.claims[key] = self.claims.get(key), new
        self.kept.told.claim_changed(old, new)
        self.assumptions.claim_changed(old, new)

    def devices(self, claim: str) -> tuple[str, ...]:
        allocation = self.claims[NAMESPACE, claim].status.allocation
        return devices_of(allocation) if allocation else ()

    def no_claim(self, name: str) -> None:
        old = self.claims.pop((NAMESPACE, name), None)
        self.kept.told.claim_changed(old, None)
        self.assumptions.claim_changed(old, None)

    def wish(self, name: str, kind: str) -> None:
        if (NAMESPACE, name) not in self.claims:
            self.claim(claim(name, *WISHES[kind]))

    def remade(self, name: str, kind: str) -> None:
        """Deleted and made anew while nobody watched."""
        old = self.claims.get((NAMESPACE, name))
        made = claim(name, *WISHES[kind])
        uid = f"{old.metadata.uid}-anew" if old else made.metadata.uid
        self.claim(msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, uid=uid)))

    def allocate(self, name: str, where: str) -> None:
        """As kube-scheduler would on this node, if it can."""
        found = self.claims.get((NAMESPACE, name))
        if found is None or found.status.allocation:
            return
        asking = pod_of(name, "other")
        verdict = policy.decide(self.view(), asking, [where]).verdicts[where]
        if verdict.allocations:
            status = ResourceClaimStatus(allocation=verdict.allocations[name])
            self.claim(msgspec.structs.replace(found, status=status))

    def freed(self, name: str) -> None:
        """Its pod is gone: the claim waits for another."""
        found = self.claims.get((NAMESPACE, name))
        if found is not None:
            self.claim(msgspec.structs.replace(found, status=ResourceClaimStatus()))

    def extended(self, name: str, owner: str, where: str) -> None:
        """The claim that kube-scheduler makes for a pod's extended resources."""
        made = claim(name, exactly())
        metadata = msgspec.structs.replace(
            made.metadata,
            annotations={EXTENDED_CLAIM_ANNOTATION: "true"},
            owner_references=[OwnerReference(kind="Pod", name=owner, uid=owner)],
        )
        if (NAMESPACE, name) not in self.claims:
            self.claim(msgspec.structs.replace(made, metadata=metadata))
        self.allocate(name, where)

    def cpu(self, node: str, milli: int) -> None:
        """Another pod of so much CPU."""
        for changed in self.tally.change(None, BoundPod(node_name=node, requested_milli=milli)):
            self.kept.told.cpu_changed(changed)

    def learned(self, *counts: tuple[PodShape, int]) -> None:
        """In force once the background has answered for it."""
        self.kept.told.workload_changed(Workload(counts))

    def whole(self, pod: Pod, names: list[str]) -> Decision:
        assumed = self.assumptions.active(excluding=pod.metadata.uid)
        return policy.decide(replace(self.view(), assumed=assumed), pod, names)

    def find(self, pod: Pod, names: list[str]) -> Found | None:
        """As in a cycle that takes no time: all that was freed is known."""
        self.kept.asked(pod)
        self.assumptions.forget(pod.metadata.uid)
        found = self.kept.find(pod, names)
        self.kept.answered(last=True)
        return found

    def take(self, pod: Pod, names: list[str]) -> None:
        """Ask about a pod, and assume the first choice."""
        found = self.find(pod, names)
        among = found.among(names) if found else None
        if found and among and among.best:
            self.assumptions.assume(found.view, pod, among.best, among.options(among.best, MAX_OPTIONS))


def pod_of(claims_named: str, uid: str, *, gpus: int = 0, cpu: int = 1, nvlink: bool = False) -> Pod:
    """A pod with these claims ("c0 c1"), and so many plain GPUs."""
    claims = [{"name": name, "resourceClaimName": name} for name in claims_named.split()]
    limits = {"cpu": str(cpu)} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    annotations = {"gpu.partita.dev/topology": "nvlink"} if nvlink else {}
    body = {
        "metadata": {"name": uid, "namespace": NAMESPACE, "uid": uid, "annotations": annotations},
        "spec": {"resourceClaims": claims, "containers": [{"name": "main", "resources": {"limits": limits}}]},
    }
    return msgspec.convert(body, Pod)
