"""The cluster during a run, as arrays; what would be allocated on each node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hack.benchmarks.openb.trace import TraceNode, TracePod
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class Cluster:
    """Free capacity, one row a node."""

    left: Ints
    """[node, GPU] milli; 0 where there is no such GPU."""

    cpu_milli: Ints
    memory_mib: Ints
    products: tuple[str, ...]
    changed: list[int]
    """Nodes in the order in which they were changed."""

    @classmethod
    def of(cls, nodes: Sequence[TraceNode]) -> Cluster:
        width = max(node.gpus for node in nodes)
        return cls(
            left=np.array([[1000] * node.gpus + [0] * (width - node.gpus) for node in nodes]),
            cpu_milli=np.array([node.cpu_milli for node in nodes]),
            memory_mib=np.array([node.memory_mib for node in nodes]),
            products=tuple(node.product for node in nodes),
            changed=[],
        )

    def fitting(self, pod: TracePod, nodes: Ints) -> Bools:
        """Which of the nodes have room."""
        shape = pod.shape
        enough: Bools = (self.left[nodes] >= shape.gpu_milli).sum(axis=1) >= shape.gpus
        enough &= (self.cpu_milli[nodes] >= shape.cpu_milli) & (self.memory_mib[nodes] >= pod.memory_mib)
        if shape.products:
            enough &= np.array([self.products[node] in shape.products for node in nodes], dtype=bool)
        return enough

    def first_fit(self, pod: TracePod, nodes: Ints) -> Bools:
        """[node, GPU] those that kube-scheduler would take of nodes with room, in the order in which a driver publishes
        them: shares from the first GPU up, whole GPUs from the last one down."""
        shape = pod.shape
        left = self.left[nodes]
        if shape.gpu_milli == 1000:
            free: Bools = (left == 1000)[:, ::-1]
            return (free & (np.cumsum(free, axis=1) <= shape.gpus))[:, ::-1]
        able: Bools = left >= shape.gpu_milli
        able &= np.cumsum(able, axis=1) <= shape.gpus
        return able

    def place(self, pod: TracePod, node: int, gpus: Bools) -> None:
        """Take what the pod asks for."""
        self.left[node][gpus] -= pod.shape.gpu_milli
        self.cpu_milli[node] -= pod.shape.cpu_milli
        self.memory_mib[node] -= pod.memory_mib
        self.changed.append(node)
