"""How much of a claim is on the hardware, for claims that were found again and not made by this driver."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec
import structlog

from partita_driver.engine.lost_journal.named import claim_seen_again
from partita_driver.engine.rules import time_slice_of
from partita_driver.engine.tools import Tools
from partita_driver.hardware.calls import HardwareError
from partita_driver.journal.records import ClaimRecord, DeviceRecord
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent, ClaimState
from partita_plugins.errors import PartitaError
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.steps import SetTimeSlice

log = structlog.get_logger(__name__)


class Presence(Enum):
    """How much of a partition is on the hardware."""

    NONE, HALF, ALL = range(3)
    UNKNOWN = 3
    """Its GPU does not answer: a pod may be running on it."""


def presences(tools: Tools, devices: Iterable[DeviceRecord]) -> list[Presence]:
    """How much there is of each partition among devices."""
    return [_presence(tools, device) for device in devices if device.kind is DeviceKind.MIG and not device.admin]


def look(tools: Tools, claim: ClaimRecord) -> ClaimRecord:
    """Look again at a claim that was found while a GPU of its did not answer; `unseen` still where that goes on.

    Partitions that are there are in use. Where one is not, no pod is running: the next Prepare makes the claim again.
    """
    claim = claim_seen_again(claim, tools.node, tools.strategies)
    if any(device.named_alone for device in claim.devices):
        return claim
    there = presences(tools, claim.devices) if claim.state is ClaimState.PREPARED else []
    if Presence.UNKNOWN in there:
        return claim
    seen = msgspec.structs.replace(claim, unseen=False)
    if any(one is not Presence.ALL for one in there):
        log.warning("a claim that was found again is not on the hardware", claim=claim.uid)
        tools.cdi.remove(claim.uid)
        return tools.put(msgspec.structs.replace(seen, remake=True), ClaimEvent.REBOOT, Durability.BEST_EFFORT)
    tools.journal.change(lambda state: state.with_claim(seen), Durability.BEST_EFFORT)
    log.info("the GPU of a claim that was found again answers", claim=claim.uid)
    set_time_slices(tools, (seen,))
    return seen


def set_time_slices(tools: Tools, found: Iterable[ClaimRecord]) -> None:
    """Those of shared GPUs whose claims were found again: a reset or a reboot may have taken them."""
    steps = [step for claim in found for device in claim.devices for step in device.steps]
    for gpu_uuid in sorted({step.gpu_uuid for step in steps if isinstance(step, SetTimeSlice)}):
        try:
            with tools.lock((gpu_uuid,)):
                if interval := time_slice_of(tools.journal.state, gpu_uuid, without=""):
                    tools.hardware.set_time_slice(gpu_uuid, interval)
        except (PartitaError, HardwareError) as error:
            log.warning("time slice not set", gpu=gpu_uuid, error=str(tools.quarantine.blamed(error)))


def _presence(tools: Tools, device: DeviceRecord) -> Presence:
    if device.named_alone:
        return Presence.UNKNOWN
    if device.placement is None or device.profile_id is None:
        return Presence.NONE
    try:
        instance = tools.hardware.find(device.gpu_uuids[0], device.profile_id, device.placement)
    except (PartitaError, HardwareError) as error:
        log.warning("GPU instances not listed", gpu=device.gpu_uuids[0], error=str(tools.quarantine.blamed(error)))
        return Presence.UNKNOWN
    if instance is None:
        return Presence.NONE
    return Presence.ALL if instance.compute_instances else Presence.HALF
