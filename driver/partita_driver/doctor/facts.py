"""What was seen on a node, as values: the input of every judgement on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from partita_driver.health.faults import Fault
from partita_driver.journal.records import GpuLook
from partita_plugins.model.gpu import Gpu, NodeHardware
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.instances import ComputeMode, GpuInstance, GpuProcess
from partita_plugins.model.mig import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts:
    """One GPU that was discovered. What it did not answer is empty, and told in `refusals`."""

    gpu: Gpu
    health: tuple[HealthEvent, ...] = ()
    processes: tuple[GpuProcess, ...] = ()
    instances: tuple[GpuInstance, ...] = ()
    compute_mode: ComputeMode = ComputeMode.DEFAULT
    refusals: tuple[str, ...] = ()
    """One sentence for each question that was answered with an error, or not in time."""

    faults: tuple[Fault, ...] = ()
    """Its quarantines, as the driver remembers them."""

    look: GpuLook | None = None
    """Its last validation, as the driver remembers it."""

    claims: tuple[tuple[str, Placement | None], ...] = ()
    """UIDs of claims that the driver's journal has on it, and where; None: on all of it."""

    @property
    def unowned(self) -> tuple[GpuInstance, ...]:
        """GPU instances where no claim of ours has one."""
        ours = {placement for _, placement in self.claims}
        return tuple(one for one in self.instances if one.placement not in ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A GPU that the kernel has and that does not answer."""

    gpu_uuid: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolkitFacts:
    """The node's nvidia-ctk."""

    program: str = ""
    mounts: int = 0
    hooks: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """A folder that the driver needs on the node."""

    path: str
    purpose: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeFacts:
    """What the API server says of the node; with `error` it did not answer."""

    error: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    other_slices: tuple[str, ...] = ()
    """DRA drivers other than ours that publish devices of this node."""

    ours: int = 0
    """ResourceSlices of ours for this node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A node as it was looked at once."""

    node_name: str
    backend: str
    hardware: NodeHardware | None = None
    error: str = ""
    """Why there is no hardware to speak of."""

    gpus: tuple[GpuFacts, ...] = ()
    absent: tuple[Absent, ...] = ()
    toolkit: ToolkitFacts | None = None
    """None: containers bring their libraries, or the GPUs are simulated."""

    folders: tuple[FolderFacts, ...] = ()
    kube: KubeFacts | None = None
    """None: not asked."""
