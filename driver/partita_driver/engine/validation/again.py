"""Validating faulty hardware again, under a claim of the driver's own, so that nobody is handed it meanwhile."""

from __future__ import annotations

import msgspec
import structlog

from partita_driver.engine.health import reported_faults, still_reported
from partita_driver.engine.make import make_and_check
from partita_driver.engine.rules import refuse_overlap, touches
from partita_driver.engine.tools import Tools
from partita_driver.engine.undo import take_back, undo
from partita_driver.engine.validation.look import Check, memory_mib
from partita_driver.engine.validation.own import own_claim_uid, own_device
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import HardwareError
from partita_driver.health.faults import NVLINK, VALIDATION, Fault
from partita_driver.journal.records import ClaimRecord, DeviceRecord, JournalState
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent
from partita_driver.moments import Moment
from partita_plugins.errors import PartitaError
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import DeviceKind, OfferedDevice

log = structlog.get_logger(__name__)

KEPT_MIB = 256
"""Of a device's memory, what a look at all of it may leave out: CUDA and the validator themselves take some."""

FOUND = frozenset({VALIDATION, NVLINK})
"""Reasons that no GPU reports: a validation found them, and only one takes them away."""


def revalidate(tools: Tools, fault: Fault, gpu: Gpu) -> bool:
    """Ask the hardware, then make a device over the faulty part, validate it, undo it. True if the fault is lifted.

    It is lifted only by a validation that covered all of the part's memory that a program can have: what failed may be
    anywhere in it. Where no validator runs the hardware's word is enough, except for what a validation found.
    """
    # Read before the GPU is asked: it may report anew right after its answer.
    reports = tools.quarantine.reports[fault.key]
    if still_reported(fault, reported_faults(tools, gpu.uuid)):
        return False
    if not (fault.reason not in FOUND if tools.validator is None else _passes(tools, fault, gpu)):
        return False
    if tools.quarantine.lift(fault, reports):
        return True
    log.info("still quarantined, it was reported again meanwhile", gpu=gpu.uuid, reason=fault.reason)
    return False


def _passes(tools: Tools, fault: Fault, gpu: Gpu) -> bool:
    devices = _devices_over(tools, fault, gpu)
    if not touches(fault, devices[0]):
        return False
    wanted = ClaimRecord(uid=own_claim_uid(gpu), devices=devices)

    def admit(state: JournalState) -> JournalState:
        refuse_overlap(state, wanted)
        return state

    try:
        if wanted.uid in tools.journal.state.claims:
            undo(tools, wanted.uid)
        intended = tools.put(wanted, ClaimEvent.INTEND, Durability.REQUIRED, admit)
        made = make_and_check(tools, intended, Check(moment=Moment.AGAIN))
        reached("revalidated")
    except (PartitaError, HardwareError) as error:
        log.info("still quarantined", gpu=gpu.uuid, reason=fault.reason, error=str(tools.quarantine.blamed(error)))
        take_back(tools, wanted.uid)
        return False
    take_back(tools, wanted.uid)
    seen = made.devices[0].validation
    covered = seen.memory_coverage if seen and seen.depth == "full" else 0.0
    if (1.0 - covered) * memory_mib(tools, made.devices[0], gpu) > KEPT_MIB:
        log.info("still quarantined, not all memory was looked at", gpu=gpu.uuid, covered=round(covered, 3))
        return False
    return True


def _devices_over(tools: Tools, fault: Fault, gpu: Gpu) -> tuple[DeviceRecord, ...]:
    """The device to look at, then those with which its GPU is to be linked and that are there."""
    peers = [peer for gpu_uuid in fault.linked if (peer := tools.gpu(gpu_uuid))]
    if not peers:
        return (_device_over(tools, fault, gpu),)
    alone = [own_device(tools, OfferedDevice(kind=DeviceKind.GPU, slots=(_slot(tools, one),))) for one in (gpu, *peers)]
    return tuple(msgspec.structs.replace(one, nvlink=NVLINK) for one in alone)


def _device_over(tools: Tools, fault: Fault, gpu: Gpu) -> DeviceRecord:
    """The smallest device that contains all of the faulty part; of a GPU that only has partitions, its widest one."""
    slot = _slot(tools, gpu)
    pinned = gpu.mig is not None and gpu.mig.pinned
    places = [
        (placement.size, profile.media_extensions, profile.enum, profile, placement)
        for profile in (gpu.mig.profiles if gpu.mig and gpu.mig.available else ())
        for placement in profile.placements
    ]
    part = fault.placement
    fitting = [one for one in places if part and one[-1].start <= part.start and part.end <= one[-1].end]
    offered = OfferedDevice(kind=DeviceKind.GPU, slots=(slot,))
    if fitting or pinned:
        *_, profile, placement = (
            min(fitting, key=lambda one: one[:3]) if fitting else max(places, key=lambda one: (one[0], -one[2]))
        )
        offered = OfferedDevice(kind=DeviceKind.MIG, slots=(slot,), profile=profile, placement=placement)
    return own_device(tools, offered)


def _slot(tools: Tools, gpu: Gpu) -> int:
    return next(slot for slot, one in tools.node.gpus.items() if one.uuid == gpu.uuid)
