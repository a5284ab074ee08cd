"""What placing a pod on a node would do, what pods keep coming, and what a scorer promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileShape:
    """One kind of device that takes units of one GPU, as geometry; "gpu" takes all of them."""

    shape: str
    starts: tuple[int, ...]
    """First units of its placements."""

    size: int
    """Units of one placement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """One GPU's occupancy."""

    memory_mib: int
    nvlinks: tuple[int, ...] = ()
    """NVLinks to each slot of the node; empty where there are none or the node does not say."""

    pcie: str = ""
    """PCIe level to each slot, one letter each (model.topology.PCIE_LEVELS)."""

    nvlink_gbps: int = 0
    profiles: tuple[ProfileShape, ...] = ()
    """What the node offers on this GPU, largest first."""

    units: int = 1
    """Length of the placement axis; 1 where the GPU has no partitions."""

    taken: frozenset[int] = frozenset()
    """Units in use; all of them while the GPU is shared."""

    shared_free_mib: int | None = None
    """Memory left on a GPU that is being shared; None where it is not."""

    product: str = ""

    @property
    def free(self) -> frozenset[int]:
        return frozenset(range(self.units)) - self.taken


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """GPUs of one node as a scorer sees them: how they are linked, which units are taken."""

    gpus: Mapping[int, GpuState]
    """By slot."""

    cpu_milli: int | None = None
    """CPU that pods can still request; None where nobody counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodShape:
    """What one pod asks for. Pods of one shape are alike to a scorer."""

    cpu_milli: int = 0
    gpus: int = 0
    """How many GPUs it has something of."""

    gpu_milli: int = 1000
    """Of each of them: 1000 is a whole GPU, less is a share of its memory."""

    partition: str = ""
    """Shape of its MIG partitions, "3g"; gpu_milli means nothing then."""

    products: frozenset[str] = frozenset()
    """GPUs that it may run on; empty: on any."""


NO_SHAPE = PodShape()


@dataclass(frozen=True)
class Workload:
    """The pods that a cluster has seen lately, and so those that it should expect. Empty: nothing is known."""

    counts: tuple[tuple[PodShape, int], ...] = ()
    """How often each shape was seen, pods without GPUs included."""

    @cached_property
    def _hash(self) -> int:
        return hash(self.counts)

    def __hash__(self) -> int:
        """Taken once: workloads are keys, and may have a thousand shapes."""
        return self._hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What placing a pod on one node would do."""

    before: NodeState
    after: NodeState
    slots: tuple[int, ...]
    """GPUs that any of the pod's devices lives on, ascending, each once."""

    whole: tuple[int, ...]
    """Those of them that the pod gets entirely, alone or in a group."""

    asked_mib: int
    granted_mib: int
    pod: PodShape = NO_SHAPE
    """What the pod takes here; another node may give it another alternative."""


Floats = NDArray[np.float64]
Measures = NDArray[np.float64]
"""One row for all nodes alike, one column a figure."""

Counts = NDArray[np.int64]


class Scorer(Protocol):
    """Judges the nodes of one pod. Pure: equal arguments give equal answers, in any process.

    In two steps, so that a fleet costs little: `measure` is called once for all nodes of equal content and remembered
    until the content or the workload changes; `score` sees the figures of every candidate at each decision.
    """

    name: str
    counts_cpu: bool
    """Whether the figures depend on CPU. If not, nodes that differ by it alone are measured once, and told none."""

    def measure(self, outcomes: Sequence[Outcome], workload: Workload, /) -> Measures:
        """Figures of each node, a row each: finite, always equally many, the same whatever nodes are beside it. A node
        without GPUs has figures too."""

    def score(self, measures: Measures, nodes: Counts, workload: Workload, /) -> Floats:
        """One number for each row: lower is better, equal ones leave it to the next scorer.

        `nodes` says how many candidates have the row. Numbers are comparable within one call only, and do not depend on
        the order of the rows.
        """

    def explain(self, outcome: Outcome, /) -> str:
        """The same as a clause, "GPUs 4 and 5 over NVLink (450 GB/s)"; empty where nothing is to be said."""
