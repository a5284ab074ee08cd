"""Nodes that exist in the API alone: for what kube-scheduler and the extender decide, and no kubelet sees."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hack.benchmarks import fleet

from partita_plugins.kube.resources import NODES, RESOURCE_SLICES
from partita_plugins.model.offer import Offer
from tests.e2e.endpoint import Endpoint
from tests.e2e.lab import NOW, Json, Lab, pod_spec, request, to_json, until

LABEL = "example.com/scenario"
TOLERATIONS = [
    {"key": key, "operator": "Exists"}
    for key in (LABEL, "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
]
AVOIDED = {"key": "example.com/avoided", "effect": "PreferNoSchedule"}
"""Pods go elsewhere if they can."""


@dataclass(frozen=True, slots=True)
class Paper:
    """One node: a machine of the catalog, what it offers, its CPUs with one GiB each."""

    machine: str = "hgx-h100"
    offer: Offer = fleet.WHOLE
    cpus: int = 64
    taints: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PaperFleet:
    """The nodes of one scenario. Its pods go to no others, and are bound there and no more."""

    lab: Lab
    nodes: Mapping[str, Paper]

    def pod(self, name: str, *requests: Json, cpus: int = 0, gpus: int = 0, node: str = "", **spec: Any) -> None:
        """A pod with a claim of its name for these requests; with `gpus` it asks for so many without one."""
        if requests:
            self.lab.claim(name, *requests)
        self.lab.create_pod(name, self.spec(bool(requests) * [name], cpus=cpus, gpus=gpus, node=node, **spec))

    def spec(self, claims: Sequence[str], *, cpus: int = 0, gpus: int = 0, node: str = "", **more: Any) -> Json:
        """Of a pod that names these claims."""
        named = [{"name": name, "resourceClaimName": name} for name in claims]
        usual = {"tolerations": TOLERATIONS, "terminationGracePeriodSeconds": 0}
        spec = pod_spec(["main"], named, node, **{**usual, **more})
        spec["nodeSelector"] = {LABEL: self.lab.namespace, **spec.get("nodeSelector", {})}
        resources = spec["containers"][0]["resources"]
        resources["requests"] = {"cpu": str(cpus), "memory": f"{cpus}Gi"}
        if gpus:
            resources["limits"] = {"nvidia.com/gpu": str(gpus)}
        return spec

    def templated(self, template: str, name: str = "p", **more: Any) -> Json:
        """A pod for simulations, with one claim of its own from a template."""
        claims = [{"name": "gpu", "resourceClaimTemplateName": template}]
        return {"metadata": {"name": name}, "spec": {**self.spec([], **more), "resourceClaims": claims}}

    def node_of(self, name: str, seconds: float = 30) -> str:
        """Of a pod, once it has one."""
        return until(f"{name} has a node", lambda: self.lab.node_of(name), seconds)

    def known_to(self, extender: Endpoint) -> None:
        """Wait until an extender has seen the nodes and what they offer."""
        pod = self.templated("any", tolerations=[{"operator": "Exists"}])

        def known() -> bool:
            [found] = simulated(extender, [pod], {"any": [request()]})
            return {node for group in found["feasible"] for node in group["nodes"]} >= self.nodes.keys()

        until("the extender knows the nodes", known, 30)


def simulated(
    extender: Endpoint, pods: Sequence[Json], claims: Mapping[str, Sequence[Json]] | None = None
) -> list[Json]:
    """Where an extender says that pods would go. `claims`: requests by name of a claim or template."""
    made = [
        {"metadata": {"name": name}, "spec": {"devices": {"requests": list(requests)}}}
        for name, requests in (claims or {}).items()
    ]
    status, body = extender.post("/simulate", json.dumps({"pods": list(pods), "claims": made}).encode())
    assert status == 200, body
    placements: list[Json] = json.loads(body)["placements"]
    return placements


@contextlib.contextmanager
def paper_fleet(lab: Lab, extender: Endpoint, nodes: Mapping[str, Paper]) -> Iterator[PaperFleet]:
    """These nodes, known to an extender; afterwards neither they nor their pods are there."""
    found = PaperFleet(lab, nodes)
    slices = [one for name, paper in nodes.items() for one in fleet.slices(name, paper.machine, paper.offer)]
    try:
        for name, paper in nodes.items():
            lab.api.create(NODES, _node(name, paper, lab.namespace))
        for one in slices:
            lab.api.create(RESOURCE_SLICES, to_json(one))
        found.known_to(extender)
        yield found
    finally:
        lab.force_delete(*lab.made)
        for name in nodes:
            lab.api.delete(NODES, name, options=NOW)
        for one in slices:
            lab.api.delete(RESOURCE_SLICES, one.metadata.name, options=NOW)


def _node(name: str, paper: Paper, scenario: str) -> Json:
    made = fleet.node(name)
    room = {"cpu": str(paper.cpus), "memory": f"{paper.cpus}Gi", "pods": "250"}
    # Whoever tolerates everything and belongs on GPU nodes, as the driver does, stays away by its node selector.
    made["metadata"]["labels"] = {"kubernetes.io/hostname": name, LABEL: scenario}
    made["spec"] = {"taints": [{"key": LABEL, "effect": "NoSchedule"}, *paper.taints]}
    made["status"] |= {"allocatable": room, "capacity": room}
    return made
