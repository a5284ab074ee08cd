"""The GPUs of one node: what a device backend promises."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from partita_plugins.model.gpu import NodeHardware
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.instances import ComputeInstance, ComputeMode, DeviceNode, GpuInstance, GpuProcess
from partita_plugins.model.mig import Placement


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

    def across(self, source_uuid: str, destination_uuid: str, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """What arrives of words that one GPU copies directly to another, faults of the link included."""


@runtime_checkable
class DriverLibraries(Protocol):
    """A backend of real GPUs, which knows where the node has NVIDIA's driver."""

    def driver_library(self, soname: str) -> Path | None:
        """A library of it, as this process sees it; None where the dynamic loader has to find it."""

    def device_nodes(self, gpu_uuid: str, instance: GpuInstance | None) -> tuple[DeviceNode, ...]:
        """As DeviceBackend's."""
