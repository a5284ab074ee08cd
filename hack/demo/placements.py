"""Where pods are, which devices they have, and what their containers see, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hack.demo.cluster import Cluster

from partita_plugins.testing.kubelet import ContainerView
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.kubectl.fleet import fleet
from partita_scheduler.simulator.loop import view_of

GPU_NODE = re.compile(r"/dev/nvidia\d+")
CAPABILITY = "/dev/nvidia-caps/nvidia-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a container was given."""

    device_nodes: tuple[str, ...]
    env: Mapping[str, str]
    """The variables that Partita adds."""

    @property
    def gpus(self) -> tuple[str, ...]:
        """/dev/nvidiaN without control nodes."""
        return tuple(
            sorted((path for path in self.device_nodes if GPU_NODE.fullmatch(path)), key=lambda path: (len(path), path))
        )

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The nodes that open a MIG partition: "cap12" for /dev/nvidia-caps/nvidia-cap12."""
        return tuple(path.removeprefix(CAPABILITY) for path in self.device_nodes if path.startswith(CAPABILITY))

    def values(self, key: str) -> list[str]:
        """Values of PARTITA_<REQUEST>_<INDEX>_<KEY>."""
        return [value for name, value in sorted(self.env.items()) if name.endswith(f"_{key}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One pod that runs."""

    pod: str
    namespace: str
    node: str
    devices: tuple[str, ...]
    """Names as published."""

    what: str
    """The same for people: "GPU 0: 3g at 4"."""

    claims: tuple[str, ...]
    """UIDs."""

    sees: Mapping[str, Seen]
    """By container."""


def placements(cluster: Cluster, namespace: str = "default") -> dict[str, Placement]:
    """All running pods by name."""
    view = view_of(cluster.server)
    found: dict[str, Placement] = {}
    for pod in cluster.server.list("Pod", namespace):
        name, node = pod["metadata"]["name"], pod["spec"].get("nodeName", "")
        views = cluster.kubelets[node].views(name, namespace) if node else {}
        if (pod.get("status") or {}).get("phase") != "Running" or not views:
            continue
        claims = [claim for claim in view.claims.values() if _used_by(claim, pod["metadata"]["uid"])]
        found[name] = Placement(
            pod=name,
            namespace=namespace,
            node=node,
            devices=tuple(
                result.device
                for claim in claims
                for result in (claim.status.allocation.devices.results if claim.status.allocation else ())
            ),
            what=_in_words(view, claims),
            claims=tuple(claim.metadata.uid for claim in claims),
            sees={container: _seen(one) for container, one in views.items()},
        )
    return found


def _used_by(claim: ResourceClaim, pod_uid: str) -> bool:
    return any(user.uid == pod_uid for user in claim.status.reserved_for)


def _seen(view: ContainerView) -> Seen:
    env = {name: value for name, value in view.env.items() if name.startswith("PARTITA_")}
    return Seen(device_nodes=tuple(node.path for node in view.device_nodes), env=env)


def _in_words(view: ClusterView, claims: list[ResourceClaim]) -> str:
    names = {f"{claim.metadata.namespace}/{claim.metadata.name}" for claim in claims}
    held = [
        (gpu.slot, holding.what)
        for node in fleet(view)
        for gpu in node.gpus
        for holding in gpu.holdings
        if holding.claim in names
    ]
    slots = "+".join(str(slot) for slot, _ in held)
    kinds = ", ".join(dict.fromkeys(what for _, what in held if what != "whole"))
    return f"GPU{'s' if len(held) > 1 else ''} {slots}{': ' if kinds else ''}{kinds}"
