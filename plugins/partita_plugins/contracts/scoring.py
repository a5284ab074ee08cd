"""What placing a pod on a node would do, and what a scorer promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


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

    @property
    def free(self) -> frozenset[int]:
        return frozenset(range(self.units)) - self.taken


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """GPUs of one node as a scorer sees them: how they are linked, which units are taken."""

    gpus: Mapping[int, GpuState]
    """By slot."""


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


class Scorer(Protocol):
    """Judges one node for one pod. Pure."""

    name: str

    def score(self, outcome: Outcome) -> float:
        """Lower is better; comparable among the nodes of one call only. Nodes with equal scores are equal to it."""

    def explain(self, outcome: Outcome) -> str:
        """The same as a clause, "GPUs 4 and 5 over NVLink (450 GB/s)"; empty where nothing is to be said."""
