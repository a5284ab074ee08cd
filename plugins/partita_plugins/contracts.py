"""The ports: what a backend, a sharing strategy, a validator and a scorer promise.

Implementations are found by entry point (registry.py). One contract suite per port in partita_plugins.testing runs
over every implementation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from partita_plugins.model.gpu import (
    ComputeInstance,
    ComputeMode,
    DeviceNode,
    Gpu,
    GpuInstance,
    GpuProcess,
    HealthEvent,
    NodeHardware,
)
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind, OfferedDevice
from partita_plugins.model.steps import Step


class DeviceBackend(Protocol):
    """The GPUs of one node. Every call may block and may raise BackendError with NVML's code; all are thread-safe."""

    def gpu_uuids(self) -> tuple[str, ...]:
        """All GPUs that the kernel has, lost or hung ones too, in NVML's order. Asks none of them: it never hangs."""

    def discover(self, *, without: Collection[str] = ()) -> NodeHardware:
        """All GPUs that answer, with links. A lost GPU is left out, and so are those in `without`, never asked."""

    def set_mig_mode(self, gpu_uuid: str, *, enabled: bool) -> None:
        """Switch MIG mode. IN_USE with clients or instances; RESET_REQUIRED where only a reset makes it current."""

    def gpu_instances(self, gpu_uuid: str) -> tuple[GpuInstance, ...]:
        """All GPU instances, also those without a compute instance. Empty when MIG is off."""

    def create_gpu_instance(self, gpu_uuid: str, profile_id: int, placement: Placement) -> GpuInstance:
        """Make one. INSUFFICIENT_RESOURCES if occupied or at its maximum, INVALID_ARGUMENT if illegal."""

    def destroy_gpu_instance(self, gpu_uuid: str, gpu_instance_id: int) -> None:
        """IN_USE while it has a compute instance; NOT_FOUND if there is none."""

    def create_compute_instance(self, gpu_uuid: str, gpu_instance_id: int) -> ComputeInstance:
        """Make the compute instance that takes all of a GPU instance."""

    def destroy_compute_instance(self, gpu_uuid: str, gpu_instance_id: int, compute_instance_id: int) -> None:
        """IN_USE while a process computes on it; NOT_FOUND if there is none."""

    def set_time_slice(self, gpu_uuid: str, interval: str) -> None:
        """Scheduling quantum of a shared GPU: "Default", "Short", "Medium" or "Long". NOT_SUPPORTED while MIG is on."""

    def compute_mode(self, gpu_uuid: str) -> ComputeMode:
        """Which processes may compute on a GPU; DEFAULT while MIG is on."""

    def set_compute_mode(self, gpu_uuid: str, mode: ComputeMode) -> None:
        """Choose it. NOT_SUPPORTED while MIG is on: instances are always DEFAULT."""

    def processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        """Processes that compute or draw on a GPU and its instances, by PID: what IN_USE is about.

        A monitoring agent that only has the GPU open is not among them.
        """

    def device_nodes(self, gpu_uuid: str, instance: GpuInstance | None) -> tuple[DeviceNode, ...]:
        """Character devices of a whole GPU, or of a GPU instance with its compute instance; control nodes included."""

    def monitor_nodes(self) -> tuple[DeviceNode, ...]:
        """Character devices for looking at every GPU that the kernel has, lost or hung ones too; no instance's.

        Control nodes included, and nvidia-caps' "monitor" node where the driver has one. Asks no GPU: it never hangs.
        """

    def health(self, gpu_uuid: str) -> tuple[HealthEvent, ...]:
        """What is wrong with a GPU now; empty when nothing is. The hardware's state, asked anew at each call.

        What a reset or a reboot has to mend (HealthEvent) is told until there was one, an XID too where the GPU has
        no recovery action to tell of.
        """

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        """Events since the last call, waiting at most that long for the first."""


class DeviceMemory(Protocol):
    """An opened device whose memory the reference validator writes and reads: the simulated backend has it."""

    @property
    def memory_mib(self) -> int:
        """What the device itself reports."""

    @property
    def multiprocessors(self) -> int:
        """What the device itself reports."""

    @property
    def words(self) -> int:
        """How many 32-bit words are backed by real storage; addresses wrap over the device's size evenly."""

    def write(self, offset: int, values: NDArray[np.uint32]) -> None:
        """Store words at a word offset."""

    def read(self, offset: int, count: int) -> NDArray[np.uint32]:
        """What the device gives back, faults included."""


@runtime_checkable
class MemoryBackend(Protocol):
    """A backend that can open device memory in this process."""

    def open_memory(self, gpu_uuid: str, instance: GpuInstance | None) -> DeviceMemory:
        """The memory of a whole GPU, or of one GPU instance."""


class Depth(StrEnum):
    """How much a validation looks at: QUICK within 100 ms, FULL what its deadline allows."""

    QUICK = "quick"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationTarget:
    """One CUDA device and what it was promised to be."""

    gpu: Gpu
    instance: GpuInstance | None
    memory_mib: int
    multiprocessors: int

    @property
    def cuda_uuid(self) -> str:
        """What CUDA_VISIBLE_DEVICES takes."""
        if self.instance is None:
            return self.gpu.uuid
        return self.instance.compute_instances[0].mig_uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """What a validation found: no findings, the device passed."""

    method: str
    depth: Depth
    seconds: float
    findings: tuple[str, ...] = ()
    """One plain sentence each, for an event: "bit 7 of word 0x1a2b3c reads 1"."""

    memory_coverage: float = 0.0
    """Share of the memory that a program can have of the device that was written and read back, 0 to 1."""

    @property
    def passed(self) -> bool:
        return not self.findings


class Validator(Protocol):
    """Computes on a device and compares with known answers."""

    name: str

    def validate(self, target: ValidationTarget, depth: Depth, deadline_seconds: float) -> ValidationResult:
        """Run within the deadline. A wrong answer is a finding, never an exception; BackendError if it cannot run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRequest:
    """What a claim was granted of its device, and how it wants to share it."""

    memory_mib: int | None = None
    """Of a shared GPU."""

    time_slice: str = "Default"
    mps: bool = False
    """Its programs compute under an MPS daemon of the claim's own."""

    active_thread_percentage: int | None = None
    """Under MPS."""


class SharingStrategy(Protocol):
    """Turns a granted device into hardware steps and into what the container is told."""

    name: str

    def steps(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> tuple[Step, ...]:
        """Steps in the order they are done; undone in reverse."""

    def environment(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> dict[str, str]:
        """What a program needs to know of its share, without prefix: {"MEMORY_MIB": "10240"}."""


STRATEGY_OF_KIND = {
    DeviceKind.GPU: "exclusive",
    DeviceKind.GROUP: "exclusive",
    DeviceKind.MIG: "mig",
    DeviceKind.SHARED: "timeslice",
    DeviceKind.MONITOR: "monitor",
}
"""Entry point in partita.sharing that handles a kind of device."""

MPS = "mps"
"""The one that handles devices under MPS instead."""

MPS_KINDS = frozenset({DeviceKind.GPU, DeviceKind.SHARED})
"""Devices that a claim may put under MPS: one GPU, which one daemon serves."""


def strategy_name(kind: DeviceKind, *, mps: bool) -> str:
    """Entry point in partita.sharing that handles a device."""
    return MPS if mps else STRATEGY_OF_KIND[kind]


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
