"""Validating faulty hardware again, under a claim of the driver's own, so that nobody is handed it meanwhile."""

from __future__ import annotations

import structlog

from partita_driver.engine.grants import record_of
from partita_driver.engine.make import make_and_check
from partita_driver.engine.rules import refuse_overlap, touches
from partita_driver.engine.tools import Tools
from partita_driver.engine.undo import undo
from partita_driver.fault_points import reached
from partita_driver.faults import Fault
from partita_driver.hardware import HardwareError
from partita_driver.journal import Durability
from partita_driver.journal_records import ClaimRecord, DeviceRecord, JournalState
from partita_driver.lifecycle import ClaimEvent
from partita_plugins.errors import PartitaError
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import DeviceKind, OfferedDevice
from partita_plugins.wire.device_names import format_name

log = structlog.get_logger(__name__)

OWN_CLAIM = "revalidate-"
"""Prefix of the UIDs of the driver's own claims, which the API does not know."""


def own_claim_uid(gpu: Gpu) -> str:
    """UID of the claim under which a GPU is validated again."""
    return f"{OWN_CLAIM}{gpu.pci_label}"


def revalidate(tools: Tools, fault: Fault, gpu: Gpu) -> bool:
    """Make a device over the faulty hardware, validate it, undo it. True if it passed and the fault is lifted."""
    device = _device_over(tools, fault, gpu)
    if tools.validator is None or device is None or not touches(fault, device):
        return False
    reports = tools.reports[fault.key]
    wanted = ClaimRecord(uid=own_claim_uid(gpu), devices=(device,))

    def admit(state: JournalState) -> JournalState:
        refuse_overlap(state, wanted)
        return state

    try:
        if wanted.uid in tools.journal.state.claims:
            undo(tools, wanted.uid)
        make_and_check(tools, tools.put(wanted, ClaimEvent.INTEND, Durability.REQUIRED, admit))
        reached("revalidated")
    except (PartitaError, HardwareError) as error:
        log.info("still quarantined", gpu=gpu.uuid, reason=fault.reason, error=str(tools.blamed(error)))
        _give_back(tools, wanted.uid)
        return False
    _give_back(tools, wanted.uid)
    if tools.reports[fault.key] != reports:
        log.info("still quarantined, it was reported again meanwhile", gpu=gpu.uuid, reason=fault.reason)
        return False
    tools.lift(fault)
    return True


def _give_back(tools: Tools, claim_uid: str) -> None:
    try:
        undo(tools, claim_uid)
    except PartitaError as error:
        log.warning("left for reconciling", claim=claim_uid, error=str(error))


def _device_over(tools: Tools, fault: Fault, gpu: Gpu) -> DeviceRecord | None:
    """A device that contains all of the faulty part: the partition itself, else the GPU, else its widest partition."""
    slot = next(slot for slot, one in tools.node.gpus.items() if one.uuid == gpu.uuid)
    profiles = gpu.mig.profiles if gpu.mig else ()
    pinned = gpu.mig is not None and gpu.mig.enabled and gpu.mig.mode_needs_reset
    places = [
        (profile, placement)
        for profile in sorted(profiles, key=lambda one: (-one.compute_slices, one.media_extensions, one.enum))
        for placement in profile.placements
        if placement == fault.placement or (fault.placement is None and pinned)
    ]
    if not places and fault.placement is not None:
        return None
    offered = OfferedDevice(kind=DeviceKind.GPU, slots=(slot,))
    if places:
        offered = OfferedDevice(kind=DeviceKind.MIG, slots=(slot,), profile=places[0][0], placement=places[0][1])
    return record_of(offered, format_name(offered, tools.node.gpus), tools.node.gpus, tools.strategies, request="own")
