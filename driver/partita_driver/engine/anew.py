"""A claim that is made, for the first time or again: journal the intent, make, check, hand out; or undo all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import structlog

from partita_driver.engine.claim_file import write_cdi
from partita_driver.engine.make import make_and_check
from partita_driver.engine.rules import (
    owned_placements,
    refuse_faulty,
    refuse_other_time_slice,
    refuse_overlap,
    touches,
    with_clean,
)
from partita_driver.engine.tools import Tools
from partita_driver.engine.undo import take_back
from partita_driver.engine.validation.look import Check
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import HardwareError
from partita_driver.health.faults import VALIDATION
from partita_driver.journal.records import ClaimRecord, JournalState
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent, ClaimState
from partita_driver.moments import Moment
from partita_driver.mps.keeper import DaemonStarting
from partita_plugins.errors import Permanent, Retryable

log = structlog.get_logger(__name__)


def make_anew(tools: Tools, wanted: ClaimRecord) -> ClaimRecord:
    """The claim prepared, or checked if it is made ahead. Raises PartitaError; what was made is undone then."""
    gpu_uuids = [uuid for device in wanted.devices if not device.admin for uuid in device.gpu_uuids]

    def admit(state: JournalState) -> JournalState:
        refuse_faulty(state.faults, wanted.devices)
        refuse_overlap(state, wanted)
        refuse_other_time_slice(state, wanted)
        return with_clean(state, drop=[uuid for one in wanted.devices if one.placement for uuid in one.gpu_uuids])

    with tools.right_of_way.arriving(gpu_uuids), _turned_away(tools, wanted):
        if wanted.state is ClaimState.ABSENT:
            _refuse_foreign(tools, wanted)
        claim = tools.put(wanted, ClaimEvent.INTEND, Durability.REQUIRED, admit)
    try:
        reached("intended")
        moment = Moment.BIND if claim.ahead else Moment.PREPARE
        claim = make_and_check(tools, claim, Check(moment=moment))
        reached("checked")
        claim = msgspec.structs.replace(write_cdi(tools, claim), remake=False)
        reached("cdi-handed")
        if claim.ahead:
            return _keep_ahead(tools, claim)
        return hand_out(tools, claim)
    except DaemonStarting:
        # Undone, it would start anew with each Prepare and never be there.
        waiting = msgspec.structs.replace(claim, remake=True)
        tools.journal.change(lambda state: state.with_claim(waiting), Durability.BEST_EFFORT)
        raise
    except Exception as error:
        failure = tools.quarantine.blamed(error)
        take_back(tools, claim.uid)
        if isinstance(error, HardwareError):
            _look_again(tools)
        if failure is error:
            raise
        raise failure from error


def _keep_ahead(tools: Tools, claim: ClaimRecord) -> ClaimRecord:
    """The claim, checked and with its CDI file, until its Prepare. Raises PartitaError."""

    def keep(state: JournalState) -> JournalState:
        # A pod is bound to it next: not to what was found broken since it was looked at.
        refuse_faulty(state.faults, claim.devices)
        return state.with_claim(claim)

    tools.journal.change(keep, Durability.REQUIRED)
    reached("made-ahead")
    return claim


def hand_out(tools: Tools, claim: ClaimRecord) -> ClaimRecord:
    """The claim, checked before, as the kubelet's from now on. Raises PartitaError."""

    def admit(state: JournalState) -> JournalState:
        refuse_faulty(state.faults, claim.devices)
        used = [uuid for device in claim.devices if not device.admin for uuid in device.gpu_uuids]
        return with_clean(state, drop=used)

    handed = tools.put(msgspec.structs.replace(claim, ahead=False), ClaimEvent.HAND_OUT, Durability.REQUIRED, admit)
    reached("prepared")
    return handed


def _refuse_foreign(tools: Tools, wanted: ClaimRecord) -> None:
    """Raise Retryable for a partition that is there before anybody of us made it: undoing would destroy it."""
    # Faulty hardware may hang: it is not even asked.
    refuse_faulty(tools.journal.state.faults, wanted.devices)
    for device in wanted.devices:
        if device.placement is None or device.profile_id is None or device.admin:
            continue
        (gpu_uuid,) = device.gpu_uuids
        # Read before the hardware: what is ours and goes meanwhile is not taken for somebody else's.
        owned = owned_placements(tools.journal.state, gpu_uuid)
        try:
            there = tools.hardware.find(gpu_uuid, device.profile_id, device.placement)
        except (HardwareError, Retryable) as error:
            raise tools.quarantine.blamed(error) from error
        if there and (device.profile_id, device.placement) not in owned:
            raise Retryable(
                f"{device.device} is there already and belongs to no claim",
                delay_seconds=5.0,
                advice="who made it by hand destroys it: `nvidia-smi mig -dci`, then `nvidia-smi mig -dgi`",
            )


@contextmanager
def _turned_away(tools: Tools, wanted: ClaimRecord) -> Iterator[None]:
    """A pod that was sent to a GPU while it was found broken, idle, waits there for ever: from now on it is evicted."""
    try:
        yield
    except Permanent:
        found = [
            msgspec.structs.replace(fault, effect="NoExecute")
            for fault in tools.journal.state.faults
            if (fault.reason, fault.effect) == (VALIDATION, "NoSchedule")
            and any(touches(fault, device) for device in wanted.devices if not device.admin)
        ]
        if found:
            tools.quarantine.add(*found)
        raise


def _look_again(tools: Tools) -> None:
    """The hardware was not as expected."""
    try:
        tools.refresh()
    except Retryable as error:
        log.warning("discovery failed", error=str(error))
