"""Faults that a test, the demo or a person plants: one file each in the state folder, so any process can.

A fault stays until it is lifted. Resets and reboots do not heal it: broken hardware stays broken. Only what a GPU
reports as waiting for a reset or a reboot goes with that.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

import msgspec

from partita_plugins.backends.files import write_atomically
from partita_plugins.errors import InvalidInput
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.mig import Placement

FAULTS_MAX = 1000


class Xid(msgspec.Struct, frozen=True, kw_only=True, tag="xid", forbid_unknown_fields=True):
    """The driver reports an XID error."""

    gpu_uuid: str
    xid: int
    message: str = ""
    start: int | None = None
    """First memory slice of the instance it happened in; None: the driver names none."""

    size: int = 1


Report = Literal[
    "ecc",
    "remap-pending",
    "remap-failed",
    "recovery-reset",
    "recovery-reboot",
    "recovery-drain-p2p",
    "recovery-drain-and-reset",
]
REPORTS: tuple[str, ...] = get_args(Report)

HEALED_BY_RESET = frozenset({"remap-pending", "recovery-reset", "recovery-drain-and-reset"})
HEALED_BY_REBOOT = HEALED_BY_RESET | {"recovery-reboot", "recovery-drain-p2p"}


class SelfReport(msgspec.Struct, frozen=True, kw_only=True, tag="self-report", forbid_unknown_fields=True):
    """The GPU's own state says that something is wrong: uncorrectable ECC errors, row remapper, recovery action."""

    gpu_uuid: str
    report: Report
    start: int | None = None
    """First memory slice of the faulty part; None: the GPU does not say which."""

    size: int = 1


class GpuLost(msgspec.Struct, frozen=True, kw_only=True, tag="gpu-lost", forbid_unknown_fields=True):
    """The GPU has fallen off the bus: every call answers GPU_IS_LOST, discovery leaves it out."""

    gpu_uuid: str


class StuckBit(msgspec.Struct, frozen=True, kw_only=True, tag="stuck-bit", forbid_unknown_fields=True):
    """One bit of the GPU's memory always reads the same."""

    gpu_uuid: str
    word: int
    """Address in 32-bit words of the GPU's simulated memory, whoever reads it through whichever instance."""

    bit: int
    value: int = 1


class StuckLine(msgspec.Struct, frozen=True, kw_only=True, tag="stuck-line", forbid_unknown_fields=True):
    """One line of the memory's addresses is always 0: what is written above it lands below."""

    gpu_uuid: str
    line: int
    """Bit of the word address within the memory of whoever writes, counted from 0."""


class BrokenLink(msgspec.Struct, frozen=True, kw_only=True, tag="broken-link", forbid_unknown_fields=True):
    """What one GPU copies to another, either way, arrives with one bit wrong."""

    gpu_uuid: str
    peer_uuid: str


class HungCall(msgspec.Struct, frozen=True, kw_only=True, tag="hung-call", forbid_unknown_fields=True):
    """A backend call on this GPU does not come back until the fault is lifted."""

    gpu_uuid: str
    call: str
    """Method of the backend: "create_gpu_instance", "open_memory"; "*" for every call."""


class WrongMemorySize(msgspec.Struct, frozen=True, kw_only=True, tag="wrong-memory-size", forbid_unknown_fields=True):
    """Programs see less memory than NVML promised."""

    gpu_uuid: str
    missing_mib: int
    memory_slice: int | None = None
    """The slice that is short; None: every device on the GPU."""


class MissingMultiprocessor(
    msgspec.Struct, frozen=True, kw_only=True, tag="missing-multiprocessor", forbid_unknown_fields=True
):
    """Programs see fewer multiprocessors than NVML promised."""

    gpu_uuid: str
    count: int = 1
    memory_slice: int | None = None
    """Only instances that cover this slice; None: every device on the GPU."""


SmEffect = Literal["wrong-bit", "low-bit", "nan", "swapped-lanes", "idle"]
SM_EFFECTS: tuple[str, ...] = get_args(SmEffect)


class FaultyMultiprocessor(
    msgspec.Struct, frozen=True, kw_only=True, tag="faulty-multiprocessor", forbid_unknown_fields=True
):
    """One multiprocessor computes wrongly. Only a validator that runs kernels can tell: see testing.gpu."""

    gpu_uuid: str
    effect: SmEffect
    """Sums are too large, by one or by the least that their format can tell; tensor cores answer NaN, or exchange the
    operands of two lanes; it never runs.
    """

    multiprocessor: int = 0
    memory_slice: int | None = None
    """Only instances that cover this slice; None: every device on the GPU."""


Fault = (
    Xid
    | SelfReport
    | GpuLost
    | StuckBit
    | StuckLine
    | BrokenLink
    | HungCall
    | WrongMemorySize
    | MissingMultiprocessor
    | FaultyMultiprocessor
)


def event_of(fault: Fault) -> HealthEvent | None:
    """What the GPU reports by itself about a fault: nothing about the silent ones."""
    match fault:
        case Xid(gpu_uuid=gpu_uuid, xid=xid, message=message, start=start, size=size):
            parts = _parts(start, size)
            return HealthEvent(
                gpu_uuid=gpu_uuid, kind="xid", xid=xid, message=message or f"XID {xid}", placements=parts
            )
        case SelfReport(gpu_uuid=gpu_uuid, report=report, start=start, size=size):
            parts = _parts(start, size)
            return HealthEvent(gpu_uuid=gpu_uuid, kind=report, message=f"the GPU reports {report}", placements=parts)
        case GpuLost(gpu_uuid=gpu_uuid):
            return HealthEvent(gpu_uuid=gpu_uuid, kind="gpu-lost", message="the GPU has fallen off the bus")
    return None


def _parts(start: int | None, size: int) -> tuple[Placement, ...]:
    return () if start is None else (Placement(start, size),)


def hits(memory_slice: int | None, placement: Placement | None) -> bool:
    """Whether a fault of one slice (None: all) touches a device at a placement (None: the whole GPU)."""
    if memory_slice is None or placement is None:
        return True
    return placement.start <= memory_slice < placement.end


def link_is_sound(faults: Iterable[Fault], source_uuid: str, destination_uuid: str) -> bool:
    """Whether what one GPU copies to another arrives as it was."""
    ends = {source_uuid, destination_uuid}
    return not any(isinstance(fault, BrokenLink) and {fault.gpu_uuid, fault.peer_uuid} == ends for fault in faults)


class FaultFolder:
    """The planted faults of one machine by id; safe across processes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def plant(self, fault: Fault) -> str:
        """Make a fault real; returns the id that lifts it."""
        if len(self.all()) >= FAULTS_MAX:
            raise InvalidInput(f"{FAULTS_MAX} faults are planted already", advice="lift some of them")
        fault_id = f"{type(fault).__struct_config__.tag}-{secrets.token_hex(4)}"
        write_atomically(self._folder / f"{fault_id}.json", msgspec.json.encode(fault))
        return fault_id

    def lift(self, fault_id: str) -> None:
        """Heal a fault. Raises InvalidInput that lists the faults there are."""
        planted = self.all()
        if fault_id not in planted:
            raise InvalidInput(
                f"there is no fault {fault_id!r}", advice=f"choose one of: {', '.join(planted) or 'none is planted'}"
            )
        (self._folder / f"{fault_id}.json").unlink(missing_ok=True)

    def heal(self, reports: Mapping[str, frozenset[str]]) -> None:
        """Lift what GPUs report and a reset or reboot has mended, by GPU."""
        for fault_id, fault in self.all().items():
            if isinstance(fault, SelfReport) and fault.report in reports.get(fault.gpu_uuid, frozenset()):
                self.lift(fault_id)

    def all(self) -> dict[str, Fault]:
        """Every planted fault by id, sorted; empty when the whole folder is gone."""
        found: dict[str, Fault] = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                found[path.stem] = msgspec.json.decode(path.read_bytes(), type=Fault)
            except FileNotFoundError:  # lifted meanwhile
                continue
            except msgspec.DecodeError as error:
                raise InvalidInput(f"{path.name} is not a fault: {error}", advice="remove the file") from error
        return found

    def on(self, gpu_uuid: str) -> tuple[Fault, ...]:
        """The faults of one GPU."""
        return tuple(fault for fault in self.all().values() if fault.gpu_uuid == gpu_uuid)
