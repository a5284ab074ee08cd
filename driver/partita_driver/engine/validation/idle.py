"""Looks at GPUs that nobody has, under claims of the driver's own: who is broken is tainted before anybody asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import structlog

from partita_driver.engine.make import make_and_check
from partita_driver.engine.rules import is_waited_for, refuse_faulty, refuse_overlap
from partita_driver.engine.tools import Tools
from partita_driver.engine.undo import take_back, undo
from partita_driver.engine.validation.look import Check
from partita_driver.engine.validation.own import own_claim_uid, own_device
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import HardwareError
from partita_driver.journal.records import ClaimRecord, GpuLook, JournalState
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent
from partita_driver.moments import Moment
from partita_plugins.errors import NvmlCode, PartitaError, Retryable, ValidationFailed
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import DeviceKind, OfferedDevice, SlottedHardware

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleGpu:
    """A whole GPU that nobody has and that is not known to be broken."""

    uuid: str
    clean: bool
    """Whether nobody has used it since it last passed."""

    looked_at: float
    """Unix seconds of its last validation; 0: there was none."""


class Outcome(Enum):
    """How a look at an idle GPU ended."""

    PASSED = "passed"
    GIVEN_UP = "given-up"
    """A claim arrived, or the driver stops."""

    NOT_NOW = "not-now"
    """It could not be looked at: somebody has it, or it does not answer."""


def idle_gpus(state: JournalState, node: SlottedHardware) -> tuple[IdleGpu, ...]:
    """GPUs that may be looked at, by slot. Those in MIG mode are not: their partitions are looked at in Prepare."""
    held = {gpu_uuid for claim in state.claims.values() for device in claim.devices for gpu_uuid in device.gpu_uuids}
    faulty = {fault.gpu_uuid for fault in state.faults}
    return tuple(
        IdleGpu(
            uuid=gpu.uuid,
            clean=gpu.uuid in state.clean,
            looked_at=state.looks.get(gpu.uuid, GpuLook()).at,
        )
        for gpu in node.gpus.values()
        if gpu.uuid not in held | faulty
        and not (gpu.mig and (gpu.mig.enabled or gpu.mig.pinned))
        and not is_waited_for(state, gpu.pci_bus_id)
    )


def look_while_idle(tools: Tools, gpu: Gpu) -> Outcome:
    """Look at one GPU, from where the last look ended. Raises ValidationFailed, and it is quarantined.

    A claim that arrives meanwhile has it given up and gets the GPU.
    """
    with tools.right_of_way.looking(gpu.uuid) as given_up:
        if given_up is None:
            return Outcome.GIVEN_UP
        begin = tools.journal.state.looks.get(gpu.uuid, GpuLook()).next_begin
        try:
            _look(tools, gpu, Check(moment=Moment.IDLE, begin=begin, given_up=given_up))
        except ValidationFailed:
            raise
        except (PartitaError, HardwareError) as error:
            log.info("an idle GPU was not looked at", gpu=gpu.uuid, error=str(tools.quarantine.blamed(error)))
            return Outcome.NOT_NOW
        return Outcome.GIVEN_UP if given_up() else Outcome.PASSED


def _look(tools: Tools, gpu: Gpu, check: Check) -> None:
    _refuse_strangers(tools, gpu)
    wanted = _own_claim(tools, gpu)

    def admit(state: JournalState) -> JournalState:
        refuse_faulty(state.faults, wanted.devices)
        refuse_overlap(state, wanted)
        return state

    if wanted.uid in tools.journal.state.claims:
        undo(tools, wanted.uid)
    intended = tools.put(wanted, ClaimEvent.INTEND, Durability.REQUIRED, admit)
    try:
        reached("idle-intended")
        make_and_check(tools, intended, check)
        reached("idle-looked")
    except Exception:
        take_back(tools, wanted.uid)
        raise
    take_back(tools, wanted.uid)


def _own_claim(tools: Tools, gpu: Gpu) -> ClaimRecord:
    slot = next(slot for slot, one in tools.node.gpus.items() if one.uuid == gpu.uuid)
    device = own_device(tools, OfferedDevice(kind=DeviceKind.GPU, slots=(slot,)))
    return ClaimRecord(uid=own_claim_uid(gpu), devices=(device,))


def _refuse_strangers(tools: Tools, gpu: Gpu) -> None:
    """Raise Retryable where a program computes that belongs to nobody's claim; a display server only draws."""
    try:
        processes = tools.hardware.processes(gpu.uuid)
    except HardwareError as error:
        if error.code is not NvmlCode.NOT_SUPPORTED:
            raise
        return
    computing = [process for process in processes if not process.only_draws]
    if computing:
        raise Retryable(f"process {computing[0].pid} computes on {gpu.uuid}, which no claim has")
