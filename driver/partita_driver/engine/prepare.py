"""Prepare, from an allocated claim to a CDI file: what is known of the claim decides whether it is made or replayed.

Before the bind the same is done but for the handing out: Prepare then finds the claim checked.
"""

from __future__ import annotations

from functools import partial

import msgspec
import structlog

from partita_driver.engine.anew import hand_out, make_anew
from partita_driver.engine.claim_file import write_cdi
from partita_driver.engine.device_records import device_by_name
from partita_driver.engine.grants import granted_devices
from partita_driver.engine.instances import PartitionGone, find_instance
from partita_driver.engine.lost_journal.presence import look
from partita_driver.engine.rules import refuse_faulty
from partita_driver.engine.tools import Tools
from partita_driver.engine.undo import undo
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import HardwareError
from partita_driver.journal.records import ClaimRecord
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent, ClaimState
from partita_plugins.errors import Retryable
from partita_plugins.wire.resource_claim import ResourceClaim

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
            return hand_out(tools, ready)
        _undo_all(tools, known.uid)
        known = None
    return make_anew(tools, _taken_up(wanted, known))


def prepare_ahead(tools: Tools, claim: ResourceClaim) -> ClaimRecord:
    """The claim's record, checked and with its CDI file, or prepared if it was already. Raises as `prepare` does."""
    wanted = _wanted(tools, claim)
    known = _settled(tools, wanted)
    if known is not None and known.state is ClaimState.PREPARED:
        return known
    if known is not None and known.ready_ahead:
        refuse_faulty(tools.journal.state.faults, known.devices)
        return known
    return make_anew(tools, msgspec.structs.replace(_taken_up(wanted, known), ahead=True))


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
        failure = tools.quarantine.blamed(error)
        if failure is error:
            raise
        raise failure from error
    reached("replay-written")
    if current != known:
        tools.journal.change(lambda state: state.with_claim(current), Durability.BEST_EFFORT)
    return current
