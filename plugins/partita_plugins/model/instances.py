"""What is made on a GPU and runs there: MIG instances, processes, and the device nodes that containers need."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from partita_plugins.model.mig import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeInstance:
    """A compute instance: with its GPU instance it is a MIG device that CUDA can open."""

    compute_instance_id: int
    mig_uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInstance:
    """A GPU instance that exists now. Without a compute instance nothing can run on it."""

    gpu_uuid: str
    gpu_instance_id: int
    profile_id: int
    placement: Placement
    compute_instances: tuple[ComputeInstance, ...] = ()


class ComputeMode(StrEnum):
    """Which processes may compute on a whole GPU, by NVML's names. A reboot or a reload of the driver forgets it."""

    DEFAULT = "Default"
    """Any number."""

    EXCLUSIVE_PROCESS = "ExclusiveProcess"
    """One at a time: an MPS control daemon, for instance."""

    PROHIBITED = "Prohibited"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that holds a GPU or an instance of it."""

    pid: int
    """In the node's PID namespace."""

    name: str = ""
    """Its program; empty where it cannot be looked at."""

    memory_mib: int | None = None
    """GPU memory it uses; None where the driver does not say."""

    gpu_instance_id: int | None = None
    """None: the GPU itself."""

    only_draws: bool = False
    """An X server or compositor, which computes nothing and is on every GPU that it finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A character device a container needs."""

    path: str
    """Path inside the container."""

    host_path: str
    """Path on the node; equal to `path` where the driver's own device files are used."""

    major: int
    minor: int
    mode: int = 0o666
