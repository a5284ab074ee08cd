"""A policy that puts every pod on the nodes it is told to, a view that stands still, and values to try them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from partita_plugins.wire.objects import Condition, ObjectMeta
from partita_plugins.wire.resource_claim import (
    Allocation,
    AllocationResult,
    DeviceAllocation,
    ResourceClaim,
    ResourceClaimStatus,
)
from partita_scheduler.answers.aside import Aside
from partita_scheduler.answers.decider import Decider
from partita_scheduler.assumed.assumptions import Assumptions
from partita_scheduler.cluster.view import (
    AssumedAllocation,
    ClusterView,
    Node,
    Pod,
    PodResourceClaim,
    PodSpec,
    PodStatus,
)
from partita_scheduler.extender import Parts
from partita_scheduler.metrics import Metrics
from partita_scheduler.policy.decision import Decision, scores
from partita_scheduler.policy.row import Verdict
from partita_scheduler.reasons import Reason
from tests.scheduler.edge.plain_judge import PlainJudge

DRIVER = "gpu.partita.dev"


def make_pod(name: str = "train", *, uid: str = "", claim: str = "wish", namespace: str = "default") -> Pod:
    """A pod with one claim, or with none for an empty name."""
    claims = [PodResourceClaim(name="gpu", resource_claim_name=claim)] if claim else []
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace, uid=uid or f"uid-{name}"),
        spec=PodSpec(resource_claims=claims),
        status=PodStatus(phase="Pending"),
    )


def unschedulable(pod: Pod) -> Pod:
    condition = Condition(type="PodScheduled", status="False", reason="Unschedulable")
    return msgspec.structs.replace(pod, status=PodStatus(phase="Pending", conditions=[condition]))


def make_allocation(node: str, *devices: str, selected: bool = True, driver: str = DRIVER) -> Allocation:
    rule = {"key": "metadata.name", "operator": "In", "values": [node]}
    return Allocation(
        devices=DeviceAllocation(
            results=[
                AllocationResult(request="main", driver=driver, pool=f"{driver}/{node}", device=device)
                for device in devices
            ]
        ),
        node_selector={"nodeSelectorTerms": [{"matchFields": [rule]}]} if selected else None,
    )


def make_claim(name: str = "wish", *, uid: str = "", allocation: Allocation | None = None) -> ResourceClaim:
    return ResourceClaim(
        metadata=ObjectMeta(name=name, namespace="default", uid=uid or f"uid-{name}"),
        status=ResourceClaimStatus(allocation=allocation),
    )


def make_nodes(*names: str) -> dict[str, Node]:
    return {name: Node(metadata=ObjectMeta(name=name)) for name in names}


@dataclass
class FixedPolicy:
    """Fits on the named nodes, best first, each with one device "gpu-0" for claim "wish"."""

    fits: Sequence[str] = ()
    hard: Mapping[str, str] = field(default_factory=dict)
    calls: list[ClusterView] = field(default_factory=list)
    broken: bool = False
    driver: str = DRIVER

    def concerns_us(self, view: ClusterView, pod: Pod) -> bool:
        return bool(pod.spec.resource_claims)

    def decide(self, view: ClusterView, pod: Pod, node_names: Sequence[str]) -> Decision:
        self.calls.append(view)
        if self.broken:
            raise RuntimeError("a bug")
        full = (Reason("taken", "no GPU free"),)
        verdicts = {
            name: Verdict(node=name, allocations={"wish": self._allocation(name)})
            if name in self.fits
            else Verdict(node=name, reasons=full)
            for name in node_names
        }
        order = tuple(name for name in self.fits if name in verdicts)
        return Decision(verdicts=verdicts, order=order, hard_refusals=self.hard)

    def _allocation(self, node: str) -> Allocation:
        return make_allocation(node, "gpu-0", selected=False, driver=self.driver)

    def scores(self, decision: Decision, node_names: Sequence[str]) -> dict[str, int]:
        return scores(decision, node_names)


@dataclass
class FixedSource:
    """A view that does not change unless the test changes it."""

    current: ClusterView = field(default_factory=ClusterView)
    why_not: str = ""
    age_seconds: float = 0.0
    pods: list[Pod] = field(default_factory=list)

    def doubt(self) -> str:
        return self.why_not

    def view(self) -> ClusterView:
        return self.current

    def unbound_pods(self) -> list[Pod]:
        return self.pods

    def unbound_pod(self, namespace: str, name: str) -> Pod | None:
        return next((pod for pod in self.pods if pod.key == f"{namespace}/{name}"), None)


@dataclass
class Clock:
    """Time that stands still until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """An extender's parts around fakes."""

    policy: FixedPolicy = field(default_factory=FixedPolicy)
    source: FixedSource = field(default_factory=FixedSource)
    clock: Clock = field(default_factory=Clock)
    metrics: Metrics = field(default_factory=Metrics)
    answering: bool = True

    def __post_init__(self) -> None:
        self.told: dict[str, AssumedAllocation] = {}
        """What the assumptions' listener knows of."""

        self.assumptions = Assumptions(self.metrics, clock=self.clock, listener=self._tell)
        self.decider = Decider(
            self.source,
            self.assumptions,
            self.metrics,
            judge=PlainJudge(self.source, self.assumptions, self.policy),
            answering=lambda: self.answering,
        )
        self.aside = Aside(self.assumptions, policy=self.policy)
        self.parts = Parts(
            decider=self.decider,
            aside=self.aside,
            source=self.source,
            assumptions=self.assumptions,
            metrics=self.metrics,
        )

    def _tell(self, key: str, assumed: AssumedAllocation | None) -> None:
        if assumed is None:
            self.told.pop(key, None)
        else:
            self.told[key] = assumed

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"partita_scheduler_{name}", labels) or 0.0


def body(pod: Any, *names: str) -> bytes:
    """What kube-scheduler posts."""
    return msgspec.json.encode({"Pod": pod, "Nodes": None, "NodeNames": list(names)})
