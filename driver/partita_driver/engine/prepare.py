"""Prepare, from an allocated claim to a CDI file: journal the intent, make, check, hand out; or undo all of it.

Before the bind the same is done but for the handing out: Prepare then finds the claim checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
import structlog

from partita_driver.engine.claim_file import write_cdi
from partita_driver.engine.grants import device_by_name, granted_devices
from partita_driver.engine.instances import PartitionGone, find_instance
from partita_driver.engine.make import make_and_check
from partita_driver.engine.presence import look
from partita_driver.engine.rules import (
    owned_placements,
    refuse_faulty,
    refuse_other_time_slice,
    refuse_overlap,
    touches,
    with_clean,
)
from partita_driver.engine.tools import Tools
from partita_driver.engine.undo import take_back, undo
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
from partita_plugins.wire.resource import ResourceClaim

log = structlog.get_logger(__name__)


def prepare(tools: Tools, claim: ResourceClaim) -> ClaimRecord:
    """The claim's record, prepared. Raises PartitaError; whatever was made is undone or stays journalled as undoing."""
    wanted = _wanted(tools, claim)
    known = _settled(tools, wanted)
    if known is not None and known.state is ClaimState.PREPARED:
        # Also on hardware that is quarantined by now: its pod may be running, and a NoExecute taint evicts that.
        if (replayed := _replay(tools, known, wanted)) is not None:
            return replayed
        known = tools.put(known, ClaimEvent.REBOOT, Durability.BEST_EFFORT)
    elif known is not None and known.ready_ahead:
        refuse_faulty(tools.journal.state.faults, known.devices)
        if (ready := _replay(tools, known, wanted)) is not None:
            return _hand_out(tools, ready)
        _undo_all(tools, known.uid)
        known = None
    return _anew(tools, _taken_up(wanted, known))


def prepare_ahead(tools: Tools, claim: ResourceClaim) -> ClaimRecord:
    """The claim's record, checked and with its CDI file, or prepared if it was already. Raises as `prepare` does."""
    wanted = _wanted(tools, claim)
    known = _settled(tools, wanted)
    if known is not None and known.state is ClaimState.PREPARED:
        return known
    if known is not None and known.ready_ahead:
        refuse_faulty(tools.journal.state.faults, known.devices)
        return known
    return _anew(tools, msgspec.structs.replace(_taken_up(wanted, known), ahead=True))


def _wanted(tools: Tools, claim: ResourceClaim) -> ClaimRecord:
    devices = granted_devices(claim, tools.node_name, partial(device_by_name, tools.node, tools.strategies))
    return ClaimRecord(
        uid=claim.metadata.uid, namespace=claim.metadata.namespace, name=claim.metadata.name, devices=devices
    )


def _taken_up(wanted: ClaimRecord, known: ClaimRecord | None) -> ClaimRecord:
    return msgspec.structs.replace(wanted, state=known.state, remake=known.remake) if known else wanted


def _settled(tools: Tools, wanted: ClaimRecord) -> ClaimRecord | None:
    """What is known of the claim, once leftovers and an allocation that no longer holds are undone."""
    known = tools.journal.state.claims.get(wanted.uid)
    if known is None:
        return None
    known = _with_requests(known, wanted)
    same = [device.identity for device in known.devices] == [device.identity for device in wanted.devices]
    if same and (known.ready_ahead or known.state in (ClaimState.INTENDED, ClaimState.PREPARED)):
        return _seen(tools, known)
    _undo_all(tools, wanted.uid)
    return None


def _undo_all(tools: Tools, claim_uid: str) -> None:
    undo(tools, claim_uid)
    if claim_uid in tools.journal.state.claims:
        raise Retryable("what the claim held before is not undone yet", delay_seconds=5.0)


def _seen(tools: Tools, known: ClaimRecord) -> ClaimRecord:
    """A claim of which it is known what is on the hardware. Raises Retryable: its pod may be running, or may not."""
    looked_at = look(tools, known) if known.unseen else known
    if looked_at.unseen:
        names = ", ".join(device.device for device in known.devices)
        raise Retryable(
            f"the journal was lost, and what is there of {names} is not known: its GPU does not answer",
            delay_seconds=10.0,
            advice="it is looked at once the GPU answers; reset the GPU, or delete the pod",
        )
    return looked_at


def _with_requests(known: ClaimRecord, wanted: ClaimRecord) -> ClaimRecord:
    """A claim found again by its CDI file knows its devices; which requests they answer only the allocation says."""
    held, granted = ([(one.device, one.share_id) for one in claim.devices] for claim in (known, wanted))
    found_again = not any(device.request for device in known.devices)
    return msgspec.structs.replace(known, devices=wanted.devices) if found_again and held == granted else known


def _replay(tools: Tools, known: ClaimRecord, wanted: ClaimRecord) -> ClaimRecord | None:
    """A claim that is ready: its CDI file rewritten and checked, nothing validated. None if its partition is gone."""
    try:
        for device in known.devices:
            find_instance(tools, device)
        current = write_cdi(tools, msgspec.structs.replace(known, namespace=wanted.namespace, name=wanted.name))
    except PartitionGone:
        log.warning("a partition is gone and is made again", claim=known.uid, state=str(known.state))
        return None
    except (HardwareError, Retryable) as error:
        # A GPU that does not answer has lost nothing: a pod may be computing on it.
        failure = tools.blamed(error)
        if failure is error:
            raise
        raise failure from error
    reached("replay-written")
    if current != known:
        tools.journal.change(lambda state: state.with_claim(current), Durability.BEST_EFFORT)
    return current


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
            raise tools.blamed(error) from error
        if there and (device.profile_id, device.placement) not in owned:
            raise Retryable(
                f"{device.device} is there already and belongs to no claim",
                delay_seconds=5.0,
                advice="who made it by hand destroys it: `nvidia-smi mig -dci`, then `nvidia-smi mig -dgi`",
            )


def _anew(tools: Tools, wanted: ClaimRecord) -> ClaimRecord:
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
            tools.journal.change(lambda state: state.with_claim(claim), Durability.REQUIRED)
            reached("made-ahead")
            return claim
        return _hand_out(tools, claim)
    except DaemonStarting:
        # Undone, it would start anew with each Prepare and never be there.
        waiting = msgspec.structs.replace(claim, remake=True)
        tools.journal.change(lambda state: state.with_claim(waiting), Durability.BEST_EFFORT)
        raise
    except Exception as error:
        failure = tools.blamed(error)
        take_back(tools, claim.uid)
        if isinstance(error, HardwareError):
            _look_again(tools)
        if failure is error:
            raise
        raise failure from error


def _hand_out(tools: Tools, claim: ClaimRecord) -> ClaimRecord:
    def admit(state: JournalState) -> JournalState:
        refuse_faulty(state.faults, claim.devices)
        used = [uuid for device in claim.devices if not device.admin for uuid in device.gpu_uuids]
        return with_clean(state, drop=used)

    handed = tools.put(msgspec.structs.replace(claim, ahead=False), ClaimEvent.HAND_OUT, Durability.REQUIRED, admit)
    reached("prepared")
    return handed


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
            tools.quarantine(*found)
        raise


def _look_again(tools: Tools) -> None:
    """The hardware was not as expected."""
    try:
        tools.refresh()
    except Retryable as error:
        log.warning("discovery failed", error=str(error))
