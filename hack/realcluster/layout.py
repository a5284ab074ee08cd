"""Where the cluster keeps its files and which ports it listens on."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_BASE_PORT = 16440
DEFAULT_NODES = 2
MAX_NODES = 26
PORTS_PER_CLUSTER = 64
MARKER = ".partita-cluster"

_NODE_PORTS_FROM = 10
_PORTS_PER_NODE = 2


@dataclass(frozen=True, slots=True)
class NodePorts:
    """The loopback ports of one node."""

    kubelet: int
    health: int


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback ports of a cluster, all counted from one base."""

    base: int = DEFAULT_BASE_PORT

    @property
    def etcd(self) -> int:
        """The port etcd serves clients on."""
        return self.base + 1

    @property
    def etcd_peer(self) -> int:
        """The port etcd would serve other members on."""
        return self.base + 2

    @property
    def api_server(self) -> int:
        """The port of kube-apiserver."""
        return self.base + 3

    @property
    def controller_manager(self) -> int:
        """The port of kube-controller-manager's health and metrics."""
        return self.base + 4

    @property
    def scheduler(self) -> int:
        """The port of kube-scheduler's health and metrics."""
        return self.base + 5

    def node(self, index: int) -> NodePorts:
        """Return the ports of the node with this index, counted from 0."""
        first = self.base + _NODE_PORTS_FROM + _PORTS_PER_NODE * index
        return NodePorts(kubelet=first, health=first + 1)

    @property
    def pod_network(self) -> str:
        """The first two numbers of the pods' addresses; clusters whose bases are 64 apart differ in them."""
        return f"10.{192 + self.base // PORTS_PER_CLUSTER % 64}"

    def all(self, nodes: int) -> tuple[int, ...]:
        """Return every port that a cluster of so many nodes listens on."""
        control = (self.etcd, self.etcd_peer, self.api_server, self.controller_manager, self.scheduler)
        per_node = (self.node(index) for index in range(nodes))
        return control + tuple(port for node in per_node for port in (node.kubelet, node.health))


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one cluster, all below one folder that `down` removes."""

    root: Path

    @property
    def marker(self) -> Path:
        """The empty file that says this folder is ours to remove."""
        return self.root / MARKER

    @property
    def state(self) -> Path:
        """What `up` wrote down for the later commands."""
        return self.root / "cluster.json"

    @property
    def control_socket(self) -> Path:
        """Where the supervisor listens."""
        return self.root / "control.sock"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def kubeconfigs(self) -> Path:
        """One kubeconfig for each identity."""
        return self.root / "kubeconfigs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.kubeconfigs / "admin"

    @property
    def etcd_data(self) -> Path:
        """The data of etcd."""
        return self.root / "etcd"

    @property
    def scheduler_config(self) -> Path:
        """The configuration kube-scheduler runs with."""
        return self.root / "scheduler.yaml"

    @property
    def logs(self) -> Path:
        """One log file for each component."""
        return self.root / "logs"

    def log(self, component: str) -> Path:
        """Return the log file of a component."""
        return self.logs / f"{component}.log"

    @property
    def nodes(self) -> Path:
        """One folder for each node."""
        return self.root / "nodes"

    def node(self, name: str) -> Path:
        """Return the folder that holds what a node sees below its standard paths."""
        return self.nodes / name

    @property
    def name(self) -> str:
        """A short name for this cluster among those of this machine."""
        return "cluster-" + hashlib.sha256(str(self.root).encode()).hexdigest()[:8]


def node_names(count: int) -> tuple[str, ...]:
    """Return the names of so many nodes: node-a, node-b and so on."""
    return tuple(f"node-{chr(ord('a') + index)}" for index in range(count))


def cache_folder() -> Path:
    """Return the folder of things that outlive a cluster: the built programs."""
    override = os.environ.get("PARTITA_CACHE_DIR")
    return Path(override).absolute() if override else Path.home() / ".cache" / "partita"


def default_layout() -> Layout:
    """Return the layout of the cluster that the environment names."""
    override = os.environ.get("PARTITA_CLUSTER_DIR")
    return Layout(Path(override).absolute() if override else cache_folder() / "cluster")
