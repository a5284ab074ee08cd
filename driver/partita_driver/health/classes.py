"""What a GPU's own reports mean: which part is faulty, what happens to pods on it, what makes it well again.

XIDs follow the "immediate action" of NVIDIA's Xid catalog (docs.nvidia.com/deploy/xid-errors, Ampere and newer; its
edition of October 2025): IGNORE and RESTART_APP are the program's affair, RESET_GPU needs a reset. An error that the
catalog does not know, or says of only "contact support", is UNKNOWN_XID.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from partita_driver.health.faults import RESET, Cure, Effect, Fault
from partita_plugins.model.health import MIG_CHANGE, HealthEvent
from partita_plugins.model.mig import Placement


class Part(StrEnum):
    """What an error says is faulty."""

    NOTHING = "nothing"
    """A program failed, or nothing did: the next user is not concerned."""

    PARTITION = "partition"
    """The instance that the report names; the GPU where it names none."""

    MEMORY = "memory"
    """Memory of that instance; of the GPU where it names none."""

    GPU = "GPU"
    """All of it, whatever the report names."""


@dataclass(frozen=True, slots=True)
class FaultClass:
    """One row of the table."""

    part: Part
    effect: Effect = "NoSchedule"
    """Pods on a GPU that computes no more are evicted; all others may finish."""

    cure: Cure = Cure.VALIDATION


PROGRAM = FaultClass(Part.NOTHING)
UNKNOWN_XID = FaultClass(Part.PARTITION)
"""Nothing new is placed there until it is proven to compute."""

_MEMORY = FaultClass(Part.MEMORY)
_MEMORY_RESET = FaultClass(Part.MEMORY, cure=Cure.RESET)
_LINK = FaultClass(Part.GPU)
_RESET = FaultClass(Part.GPU, cure=Cure.RESET)
_DEAD = FaultClass(Part.GPU, "NoExecute", Cure.RESET)
_OFF_THE_BUS = FaultClass(Part.GPU, "NoExecute", Cure.REBOOT)
_HANDS = FaultClass(Part.GPU, cure=Cure.REPAIR)

_XIDS_OF: tuple[tuple[FaultClass, tuple[int, ...]], ...] = (
    # RESTART_APP: engines and push buffers that a program broke.
    (PROGRAM, (8, 11, 13, 25, 31, 32, 39, 40, 41, 60, 68, 69, 70, 71, 72, 75, 76, 77, 80)),
    (PROGRAM, (82, 83, 84, 85, 86, 88, 89, *range(96, 106), *range(126, 136), 139)),
    # IGNORE. 45 is the end of programs after another error; 63 remapped a row, and remap-pending says what is left.
    (PROGRAM, (14, 37, 38, 43, 44, 45, 63, 66, 67, 92, 93, 106, 107, 108, 121, 137, 141, 152, 153, 157, 160, 161)),
    # Power smoothing told of itself.
    (PROGRAM, (162, 163, 164, 165)),
    # Uncorrectable, contained: the program is dead, the row is to be remapped; recovery state says if by a reset.
    (_MEMORY, (48, 94, 171, 172)),
    # Remapping failed; retired; uncorrected.
    (_MEMORY_RESET, (64, 156)),
    # NVLink: the workflow depends on details that recovery state sums up.
    (_LINK, (74, *range(144, 151))),
    (_RESET, (109, 136, 151, 154, 155)),
    # Stopped, halted, uncontained, security fault, GSP silent, unrecovered ECC, not initialised, fatal time-out.
    (_DEAD, (46, 62, 95, 110, 119, 120, 140, 143, 158)),
    (_OFF_THE_BUS, (79,)),
    # Auxiliary power is not connected.
    (_HANDS, (54,)),
)

XIDS: Mapping[int, FaultClass] = {xid: row for row, xids in _XIDS_OF for xid in xids}

KINDS: Mapping[str, FaultClass] = {
    MIG_CHANGE: FaultClass(Part.NOTHING),
    "gpu-lost": _DEAD,
    "ecc": _MEMORY,
    "remap-pending": _MEMORY_RESET,
    "remap-failed": FaultClass(Part.MEMORY, cure=Cure.REPAIR),
    "recovery-reset": _DEAD,
    "recovery-reboot": _OFF_THE_BUS,
    "recovery-drain-p2p": _LINK,
    "recovery-drain-and-reset": _RESET,
}
"""Reports other than XIDs: the GPU is gone, uncorrectable ECC errors, row remapper (NVML fields 142 to 145), recovery
action (field 230)."""

UNKNOWN_KIND = FaultClass(Part.GPU)

ADVICE: Mapping[Cure, str] = {
    Cure.VALIDATION: "",
    Cure.RESET: f"it needs a reset: {RESET}",
    Cure.REBOOT: "the node needs a reboot",
    Cure.REPAIR: "somebody has to look at the hardware: power, seating, or a replacement",
}


def class_of(event: HealthEvent) -> FaultClass:
    """The row of the table for a report."""
    if event.kind == "xid":
        return XIDS.get(event.xid or 0, UNKNOWN_XID)
    return KINDS.get(event.kind, UNKNOWN_KIND)


def cure_of(reason: str) -> Cure:
    """What a fault of that reason needs, where nothing but its taint is known any more."""
    kind, _, xid = reason.partition("-")
    row = XIDS.get(int(xid)) if kind == "xid" and xid.isdecimal() else KINDS.get(reason)
    return row.cure if row else Cure.VALIDATION


def faults_from(event: HealthEvent, now: float) -> tuple[Fault, ...]:
    """What a report says is broken: nothing, the GPU, or the parts that it names."""
    row = class_of(event)
    if row.part is Part.NOTHING:
        return ()
    reason = f"xid-{event.xid}" if event.kind == "xid" else event.kind
    said = event.message or f"the GPU reports {reason}"
    parts: tuple[Placement | None, ...] = () if row.part is Part.GPU else event.placements
    return tuple(
        Fault(
            gpu_uuid=event.gpu_uuid,
            reason=reason,
            message="; ".join(filter(None, (said, ADVICE[row.cure]))),
            start=part.start if part else None,
            size=part.size if part else None,
            since=now,
            effect=row.effect,
            cure=row.cure,
        )
        for part in parts or (None,)
    )
