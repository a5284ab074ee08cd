"""What Partita is compared with, as published: FGD and best fit, which also choose the GPU within the node."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hack.benchmarks.openb.cluster import Bools, Cluster, Ints
from hack.benchmarks.openb.rows import Rows
from hack.benchmarks.openb.trace import Trace, TracePod
from numpy.typing import NDArray

from partita_plugins.contracts import PodShape

TYPICAL_SHARE = 0.95
LARGEST_CPU_MILLI, LARGEST_GPU_MILLI = 128_000, 8_000
"""What best fit measures free capacity by: the largest node's."""


def typical(trace: Trace) -> dict[PodShape, float]:
    """FGD's typical pods: the commonest shapes of the whole trace until they are 95% of its pods; weights sum to 1."""
    counts = Counter(pod.shape for pod in trace.pods)
    kept: dict[PodShape, int] = {}
    for shape, count in sorted(counts.items(), key=_commonest):
        if sum(kept.values()) >= TYPICAL_SHARE * len(trace.pods):
            break
        kept[shape] = count
    return {shape: count / sum(kept.values()) for shape, count in kept.items()}


def _commonest(item: tuple[PodShape, int]) -> tuple[object, ...]:
    shape, count = item
    return (-count, -shape.cpu_milli, -shape.gpu_milli, -shape.gpus, sorted(shape.products))


class Fgd:
    """Fragmentation gradient descent: the node on which the expected fragmentation grows least, in 101 levels."""

    def __init__(self, cluster: Cluster, trace: Trace) -> None:
        self._cluster = cluster
        found = typical(trace)
        self._weight = np.array(list(found.values()))
        self._cpu = np.array([shape.cpu_milli for shape in found])
        self._gpus = np.array([shape.gpus for shape in found])
        milli = [shape.gpu_milli for shape in found]
        sizes = sorted(set(milli))
        self._size_of = np.array([sizes.index(one) for one in milli])
        left = np.arange(1001)[:, None]
        self._enough = left >= np.array(sizes)
        self._small = left * ~self._enough
        self._allowed = np.array(
            [[not shape.products or name in shape.products for shape in found] for name in cluster.products]
        )
        self._now = Rows(cluster, 1)
        self._rows: dict[TracePod, Rows] = {}

    def choose(self, pod: TracePod) -> tuple[int, Bools] | None:
        """The node, and which of its GPUs; None where the pod fits nowhere."""
        rows = self._rows.get(pod)
        if rows is None:
            rows = self._rows[pod] = Rows(self._cluster, 1)
        self._renew(rows, pod)
        node = int(np.argmax(np.where(rows.fits, rows.figures[:, 0], -1)))
        return (node, rows.gpus[node]) if rows.fits[node] else None

    def _renew(self, rows: Rows, pod: TracePod) -> None:
        cluster, shape = self._cluster, pod.shape
        stale = self._now.stale()
        self._now.figures[stale, 0] = self._fragmented(stale, cluster.left[stale], cluster.cpu_milli[stale])
        stale = rows.stale()
        rows.fits[stale] = cluster.fitting(pod, stale)
        stale = stale[rows.fits[stale]]
        left, cpu = cluster.left[stale], cluster.cpu_milli[stale] - shape.cpu_milli
        if shape.gpus != 1 or shape.gpu_milli == 1000:
            free = left == 1000
            rows.gpus[stale] = free & (np.cumsum(free, axis=1) <= shape.gpus)
            rows.figures[stale, 0] = self._score(stale, left - rows.gpus[stale] * shape.gpu_milli, cpu)
            return
        scores = np.full(left.shape, -1)
        for gpu in range(left.shape[1]):
            able = left[:, gpu] >= shape.gpu_milli
            after = left[able].copy()
            after[:, gpu] -= shape.gpu_milli
            scores[able, gpu] = self._score(stale[able], after, cpu[able])
        rows.figures[stale, 0] = scores.max(axis=1)
        rows.gpus[stale] = np.arange(left.shape[1]) == np.argmax(scores, axis=1)[:, None]

    def _score(self, nodes: Ints, left: Ints, cpu_milli: Ints) -> Ints:
        less = self._now.figures[nodes, 0] - self._fragmented(nodes, left, cpu_milli)
        found: Ints = (100 / (1 + np.exp(-less / 1000))).astype(np.int64)
        return found

    def _fragmented(self, nodes: Ints, left: Ints, cpu_milli: Ints) -> NDArray[np.float64]:
        """Of each node: what is free, where a typical pod finds no place; else what is free on GPUs too full for it."""
        total = left.sum(axis=1)[:, None]
        enough = self._enough[left].sum(axis=1)[:, self._size_of] >= self._gpus
        able = enough & (cpu_milli[:, None] >= self._cpu) & self._allowed[nodes] & (self._gpus > 0)
        small = self._small[left].sum(axis=1)[:, self._size_of]
        found: NDArray[np.float64] = np.where(able, small, total) @ self._weight
        return found


class BestFit:
    """The node with the least left of CPU and GPUs together; of its GPUs the fullest."""

    def __init__(self, cluster: Cluster, _trace: Trace) -> None:
        self._cluster = cluster
        self._everyone = np.arange(len(cluster.left))

    def choose(self, pod: TracePod) -> tuple[int, Bools] | None:
        """The node, and which of its GPUs; None where the pod fits nowhere."""
        cluster, shape = self._cluster, pod.shape
        nodes = self._everyone[cluster.fitting(pod, self._everyone)]
        if not nodes.size:
            return None
        cpu = (cluster.cpu_milli[nodes] - shape.cpu_milli) / LARGEST_CPU_MILLI
        gpu = (cluster.left[nodes].sum(axis=1) - pod.gpu_milli) / LARGEST_GPU_MILLI
        score = (100 * (1 - cpu / 2 - gpu / 2)).astype(np.int64)
        spread = max(1, int(score.max() - score.min()))
        node = int(nodes[np.argmax(100 * (score - score.min()) // spread)])
        left = cluster.left[node]
        able = np.flatnonzero(left >= shape.gpu_milli)
        chosen = able[np.argsort(left[able], kind="stable")][: shape.gpus]
        return node, np.isin(np.arange(len(left)), chosen)
