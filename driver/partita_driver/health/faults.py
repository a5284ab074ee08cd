"""What is wrong with the hardware, and what follows from an error of the backend."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

from partita_plugins.errors import BackendError, NvmlCode, PartitaError, Permanent, Retryable
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.mig import Placement

VALIDATION = "validation"
NVLINK = "nvlink"
HUNG = "hung"
GPU_LOST = "gpu-lost"

Effect = Literal["NoExecute", "NoSchedule"]


class Cure(StrEnum):
    """What has to happen before a fault can be lifted; a validation has to pass in any case."""

    VALIDATION = "validation"
    RESET = "reset"
    """Of the GPU."""

    REBOOT = "reboot"
    """Of the node."""

    REPAIR = "repair"
    """By hands, or never: the GPU is replaced by another."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hardware that must not be handed out: a GPU or a part of one. Kept in the journal until it is lifted."""

    gpu_uuid: str
    """Of the GPU; its PCI address while no more is known of it (a lost GPU whose journal was lost too)."""

    reason: str
    """Short and machine-readable, the value of the taint: "validation", "hung", "gpu-lost", "xid-79"."""

    message: str
    """One plain sentence: what was found."""

    start: int | None = None
    """First memory slice of the faulty part; None: all of the GPU."""

    size: int | None = None
    since: float = 0.0
    """Unix seconds."""

    pci_bus_id: str = ""
    """Where the GPU sat when it was last seen: a GPU that was exchanged takes its fault with it. Empty: not known."""

    effect: Effect = "NoExecute"
    """Of the taint on every device that overlaps this hardware."""

    cure: Cure = Cure.VALIDATION
    """Unless it is VALIDATION, the hardware itself must first say that it is well."""

    linked: tuple[str, ...] = ()
    """GPUs to which, or from which, a copy over NVLink went wrong."""

    @property
    def placement(self) -> Placement | None:
        """The faulty part; None: all of the GPU."""
        return None if self.start is None or self.size is None else Placement(self.start, self.size)

    @property
    def key(self) -> tuple[str, str, int | None, int | None]:
        """What makes two faults the same: hardware and reason, not time or words."""
        return self.gpu_uuid, self.reason, self.start, self.size

    def overlaps(self, gpu_uuid: str, placement: Placement | None) -> bool:
        """Whether a device on that GPU, at that placement or (None) on all of it, touches the faulty part."""
        if gpu_uuid != self.gpu_uuid:
            return False
        return self.placement is None or placement is None or self.placement.overlaps(placement)


def settled(
    faults: Iterable[Fault], gpus: Iterable[Gpu], addresses: Collection[str], hanging: Collection[str] = ()
) -> tuple[Fault, ...]:
    """The faults that still stand on the hardware as it is now, each with the address of its GPU.

    A GPU that does not answer keeps its faults; one with another in its place was exchanged, and they go with it.
    `addresses` is where this node ever had GPUs: a GPU that is at none of them while all answer is gone too, unless it
    is one of those `hanging`, by UUID: there, and perhaps never seen yet.
    """
    seen = tuple(gpus)
    address_of = {gpu.uuid: gpu.pci_bus_id for gpu in seen}
    uuid_at = {gpu.pci_bus_id: gpu.uuid for gpu in seen}
    all_answer = uuid_at.keys() >= set(addresses)
    kept = []
    for fault in faults:
        if fault.gpu_uuid in address_of:
            kept.append(msgspec.structs.replace(fault, pci_bus_id=address_of[fault.gpu_uuid]))
        elif fault.pci_bus_id not in uuid_at:
            if fault.pci_bus_id or not all_answer or fault.gpu_uuid in hanging:
                kept.append(fault)
        elif fault.gpu_uuid == fault.pci_bus_id:
            kept.append(msgspec.structs.replace(fault, gpu_uuid=uuid_at[fault.pci_bus_id]))
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class Reaction:
    """What an NVML code means for the call that met it."""

    error: type[Retryable | Permanent]
    advice: str
    fault: str = ""
    """Reason of the fault that the GPU gets; empty: the GPU is not to blame."""


RESET = "drain the node, and label it gpu.partita.dev/node=false until `nvidia-smi --gpu-reset` is done"
"""nvidia-smi resets no GPU that somebody has open, and the driver's own session with NVML has all of them."""

UPDATED = "NVIDIA's driver was updated while loaded: restart Partita's pod on the node, or reboot the node"
"""A process keeps the library that it started with."""

REACTIONS: dict[NvmlCode, Reaction] = {
    NvmlCode.UNINITIALIZED: Reaction(Retryable, "the NVIDIA driver is not loaded (yet): look at `nvidia-smi`"),
    NvmlCode.INVALID_ARGUMENT: Reaction(Permanent, "the GPU does not know this profile or placement: see its slices"),
    NvmlCode.NOT_SUPPORTED: Reaction(Permanent, "the GPU or its driver cannot do this: choose another DeviceClass"),
    NvmlCode.NO_PERMISSION: Reaction(Permanent, "run the driver as root with CAP_SYS_ADMIN"),
    NvmlCode.NOT_FOUND: Reaction(Retryable, "the hardware changed meanwhile; the next call looks again"),
    NvmlCode.INSUFFICIENT_POWER: Reaction(Permanent, "check the GPU's power cables", fault="power"),
    NvmlCode.DRIVER_NOT_LOADED: Reaction(Retryable, "load the NVIDIA driver: `nvidia-smi` must work on the node"),
    NvmlCode.IRQ_ISSUE: Reaction(Permanent, "the kernel and the GPU disagree over interrupts: look for NVRM lines"),
    NvmlCode.LIBRARY_NOT_FOUND: Reaction(Permanent, "install NVIDIA's driver on the node, with libnvidia-ml.so.1"),
    NvmlCode.FUNCTION_NOT_FOUND: Reaction(Permanent, "NVIDIA's driver is too old for this: update it"),
    NvmlCode.CORRUPTED_INFOROM: Reaction(Permanent, "the GPU's infoROM is damaged: replace the GPU"),
    NvmlCode.LIB_RM_VERSION_MISMATCH: Reaction(Permanent, UPDATED),
    NvmlCode.TIMEOUT: Reaction(Retryable, "the GPU answers slowly; the next call tries again"),
    NvmlCode.GPU_IS_LOST: Reaction(Permanent, "drain the node and reset or replace the GPU", fault=GPU_LOST),
    NvmlCode.RESET_REQUIRED: Reaction(Permanent, RESET),
    NvmlCode.IN_USE: Reaction(Retryable, "a process still has the GPU open: stop monitoring agents such as dcgm"),
    NvmlCode.INSUFFICIENT_RESOURCES: Reaction(Retryable, "the placement is still occupied; it is tried again"),
    NvmlCode.NOT_READY: Reaction(Retryable, "the GPU is not ready yet"),
    NvmlCode.INVALID_STATE: Reaction(Retryable, "the GPU changes its state; it is tried again"),
    NvmlCode.UNKNOWN: Reaction(Retryable, "look for NVRM lines in the kernel log"),
}


def as_partita_error(error: BackendError, doing: str) -> PartitaError:
    """The error that a caller gets for a code: `doing` says in words what failed. The caller chains the cause."""
    reaction = REACTIONS[error.code]
    # What the backend advises is in its message already.
    return reaction.error(f"{doing}: {error}", advice="" if error.advice else reaction.advice)
