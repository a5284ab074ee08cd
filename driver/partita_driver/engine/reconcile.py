"""Bringing journal, hardware and CDI folder together: at the start, and from time to time.

What is in the journal is ours; a GPU instance that no record names is somebody else's, and is left alone unless the
node's settings say otherwise.
"""

from __future__ import annotations

import msgspec
import structlog

from partita_driver.engine.claim_file import write_cdi
from partita_driver.engine.lost_journal.presence import look
from partita_driver.engine.rules import is_waited_for, owned_placements
from partita_driver.engine.tools import Tools
from partita_driver.engine.undo import undo
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import HardwareError
from partita_driver.hardware.instances import destroy_instance
from partita_driver.journal.records import ClaimRecord, JournalState
from partita_driver.lifecycle import ClaimEvent, ClaimState
from partita_plugins.errors import PartitaError
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.instances import GpuInstance
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind

log = structlog.get_logger(__name__)

HALF_MADE = frozenset({ClaimState.INTENDED, ClaimState.MADE, ClaimState.CHECKED, ClaimState.UNDOING})


def after_boot(state: JournalState, boot_id: str) -> JournalState:
    """The journal as a (re)boot leaves it: what was prepared waits, with its place kept, for the replayed Prepare."""
    if state.boot_id == boot_id:
        return state
    claims = {
        uid: msgspec.structs.replace(claim.after(ClaimEvent.REBOOT), remake=True)
        if claim.state is ClaimState.PREPARED
        # What was made ahead is gone, or proven by another boot.
        else msgspec.structs.replace(claim, ahead=False)
        for uid, claim in state.claims.items()
    }
    return msgspec.structs.replace(state, boot_id=boot_id, claims=claims, clean=())


def half_made(state: JournalState) -> tuple[ClaimRecord, ...]:
    """Claims whose Prepare or Unprepare was cut short, to be undone."""
    return tuple(claim for claim in state.claims.values() if claim.state in HALF_MADE and not _is_waited_for(claim))


def _is_waited_for(claim: ClaimRecord) -> bool:
    """Whether the next Prepare takes up what is there of a claim."""
    return claim.ready_ahead or (claim.remake and claim.state is ClaimState.INTENDED)


def undoing(state: JournalState, gpu_uuid: str = "") -> tuple[ClaimRecord, ...]:
    """Claims of which something may still be on the hardware; of one GPU, or of all."""
    return tuple(
        claim
        for claim in state.claims.values()
        if claim.state is ClaimState.UNDOING
        and (not gpu_uuid or any(gpu_uuid in device.gpu_uuids for device in claim.devices))
    )


def undo_unchanged(tools: Tools, claim: ClaimRecord) -> None:
    """Undo a claim that is still as it was when that was decided: it may have been prepared anew since."""
    if tools.journal.state.claims.get(claim.uid) == claim:
        undo(tools, claim.uid)


def undo_ahead(tools: Tools, claim_uid: str) -> None:
    """Undo what was made before the bind and never handed out. A claim that a kubelet has been given stays."""
    claim = tools.journal.state.claims.get(claim_uid)
    if claim is not None and claim.ahead:
        undo(tools, claim_uid)


def unseen(state: JournalState) -> tuple[str, ...]:
    """Claims that were found again while a GPU of theirs did not answer."""
    return tuple(uid for uid, claim in state.claims.items() if claim.unseen)


def look_again(tools: Tools, claim_uid: str) -> None:
    """Look at what such a claim has. No other call of the claim may run meanwhile."""
    claim = tools.journal.state.claims.get(claim_uid)
    if claim is not None and claim.unseen:
        look(tools, claim)


def stray_cdi(tools: Tools) -> tuple[str, ...]:
    """Claims whose CDI file is there without them, that are prepared without their file, or whose file may be old."""
    written = tools.cdi.claims().keys()
    state = tools.journal.state  # read after the folder: a file is younger than its record
    prepared = {uid for uid, claim in state.claims.items() if claim.state is ClaimState.PREPARED and not claim.unseen}
    lost = prepared - written
    # While it is not known who owns what, a file is the only word on its claim.
    orphaned = set[str]() if state.unconfirmed else written - state.claims.keys()
    return tuple(sorted(orphaned | lost | _monitoring(state)))


def _monitoring(state: JournalState) -> set[str]:
    """Claims with a monitor: a mode switch for others may give a GPU another minor, and containers start again."""
    return {
        uid
        for uid, claim in state.claims.items()
        if claim.state is ClaimState.PREPARED and any(device.kind is DeviceKind.MONITOR for device in claim.devices)
    }


def mend_cdi(tools: Tools, claim_uid: str) -> None:
    """Remove an orphaned CDI file, or write one that is lost or old again. No other call of the claim may run now."""
    claim = tools.journal.state.claims.get(claim_uid)
    try:
        before = tools.cdi.read(claim_uid)
        if claim is None:
            tools.cdi.remove(claim_uid)
        elif claim.state is ClaimState.PREPARED:
            write_cdi(tools, claim)
        if tools.cdi.read(claim_uid) == before:
            return
        reached("mended")
        log.info("CDI file mended", claim=claim_uid, written=claim is not None)
    except (PartitaError, HardwareError) as error:
        log.warning("CDI file not mended", claim=claim_uid, error=str(tools.quarantine.blamed(error)))


def foreign_instances(tools: Tools, *, destroy: bool) -> frozenset[tuple[int, Placement]]:
    """GPU instances that no claim of ours has, by slot; with `destroy` they are taken away first where that works."""
    found: set[tuple[int, Placement]] = set()
    for slot, gpu in tools.node.gpus.items():
        if gpu.mig is None or not gpu.mig.enabled:
            continue
        try:
            # Under the lock an instance that is being made has its record, and one being undone has it still.
            with tools.lock((gpu.uuid,)):
                for instance in _unowned(tools, gpu):
                    if not (destroy and _destroyed(tools, instance)):
                        found.add((slot, instance.placement))
        except (PartitaError, HardwareError) as error:
            log.warning("GPU instances not listed", gpu=gpu.uuid, error=str(tools.quarantine.blamed(error)))
    return frozenset(found)


def _unowned(tools: Tools, gpu: Gpu) -> list[GpuInstance]:
    if is_waited_for(tools.journal.state, gpu.pci_bus_id):
        return []
    owned = owned_placements(tools.journal.state, gpu.uuid)
    instances = tools.hardware.instances(gpu.uuid)
    return [one for one in instances if (one.profile_id, one.placement) not in owned]


def _destroyed(tools: Tools, instance: GpuInstance) -> bool:
    try:
        destroy_instance(tools.hardware, instance)
    except (PartitaError, HardwareError) as error:
        log.warning("unknown GPU instance not destroyed", gpu=instance.gpu_uuid, error=str(error))
        return False
    log.info("unknown GPU instance destroyed", gpu=instance.gpu_uuid, start=instance.placement.start)
    return True
