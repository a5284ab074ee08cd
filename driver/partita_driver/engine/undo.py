"""Taking back what a claim holds. Needs the journal and the hardware; the API only where an MPS daemon has to end."""

from __future__ import annotations

import structlog

from partita_driver.engine.lost_journal.named import seen_again
from partita_driver.engine.rules import is_held_twice, mig_needed_by_others, time_slice_of
from partita_driver.engine.tools import Tools
from partita_driver.fault_points import reached
from partita_driver.hardware import steps
from partita_driver.hardware.calls import HardwareError
from partita_driver.hardware.workers import Hung
from partita_driver.health.faults import GPU_LOST, REACTIONS
from partita_driver.journal.records import ClaimRecord, DeviceRecord
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent
from partita_plugins.errors import PartitaError, Retryable
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.steps import EnableMig, SetTimeSlice, Step

log = structlog.get_logger(__name__)


LEAVES_TRACES = frozenset({DeviceKind.MIG, DeviceKind.SHARED})
"""Kinds of devices for which something is done to the hardware."""


class GpuGone(Retryable):
    """A step cannot be undone, because its GPU does not answer."""


def take_back(tools: Tools, claim_uid: str) -> None:
    """`undo` where something else has failed or ended: what remains is journalled, and reconciling tries again."""
    try:
        undo(tools, claim_uid)
    except PartitaError as error:
        log.warning("left for reconciling", claim=claim_uid, error=str(error))


def undo(tools: Tools, claim_uid: str) -> None:
    """Take a claim's devices back; nothing there is a success.

    A GPU that hangs or is lost does not hold the claim up: the record stays as undoing, its hardware stays refused to
    others, and reconciling tries again. Raises Retryable if something remains for any other reason, and where that
    record cannot be written.
    """
    claim = tools.journal.state.claims.get(claim_uid)
    if claim is not None:
        # First of all, so that reconciling knows of it whatever fails next.
        claim = tools.put(claim, ClaimEvent.UNDO, Durability.BEST_EFFORT)
        reached("undo-intended")
    tools.cdi.remove(claim_uid)
    if claim is None:
        return
    with tools.timed("undo"):
        errors = _undo_devices(tools, claim)
    if not errors:
        return
    blamed = [tools.quarantine.blamed(error) for error in errors]
    if all(_out_of_reach(error) for error in errors):
        # Nobody asks again, so it must not be forgotten with this process: a full disk may have kept it in memory.
        tools.journal.flush()
        log.warning("undo put off: the GPU does not answer", claim=claim_uid, error=str(blamed[0]))
        return
    log.warning("undo failed, it is tried again", claim=claim_uid, error=str(blamed[0]))
    raise blamed[0] from errors[0]


def _undo_devices(tools: Tools, claim: ClaimRecord) -> list[Exception]:
    """Undo all that can be; forget the claim only if nothing is left."""
    devices = [seen_again(device, tools.node, tools.strategies) for device in claim.devices]
    gpu_uuids = tuple(uuid for device in devices for uuid in device.gpu_uuids)
    try:
        with tools.lock(gpu_uuids):
            errors = [error for device in reversed(devices) if (error := _undo_device(tools, claim, device))]
            if not errors:
                reached("undo-done")
                # Under the lock: whoever lists instances next finds neither the partition nor its owner.
                tools.put(claim, ClaimEvent.FORGET, Durability.BEST_EFFORT)
                reached("forgotten")
            return errors
    except Retryable as error:
        return [error]


def _undo_device(tools: Tools, claim: ClaimRecord, device: DeviceRecord) -> Exception | None:
    if device.named_alone and (device.kind in LEAVES_TRACES or device.mps) and not device.admin:
        return _gpu_gone(", ".join(device.gpu_uuids))
    if is_held_twice(tools.journal.state, claim.uid, device):
        log.info("nothing to undo, another claim has the partition too", claim=claim.uid, device=device.device)
        return None
    for step in reversed(device.steps):
        if not isinstance(step, steps.BESIDE_THE_GPU) and _exchanged(tools, device, step.gpu_uuid):
            log.info("nothing to undo, the GPU was exchanged", claim=claim.uid, gpu=step.gpu_uuid)
            continue
        try:
            _undo_step(tools, claim, step)
        except (HardwareError, Retryable) as error:
            return error
    return None


def _exchanged(tools: Tools, device: DeviceRecord, gpu_uuid: str) -> bool:
    """Whether another GPU sits where this one was; a GPU that merely does not answer keeps its place."""
    if tools.gpu(gpu_uuid) is not None:
        return False
    slots = dict(zip(device.gpu_uuids, device.slots, strict=True))
    return slots[gpu_uuid] in tools.node.gpus


def _gpu_gone(gpu_uuid: str) -> GpuGone:
    return GpuGone(f"GPU {gpu_uuid} does not answer", delay_seconds=30.0)


def _undo_step(tools: Tools, claim: ClaimRecord, step: Step) -> None:
    if isinstance(step, steps.BESIDE_THE_GPU):
        steps.undo_beside(tools.mps, step, claim.uid)
        return
    gpu = tools.gpu(step.gpu_uuid)
    if gpu is None:
        raise _gpu_gone(step.gpu_uuid)
    state = tools.journal.state
    if isinstance(step, SetTimeSlice):
        others = time_slice_of(state, step.gpu_uuid, without=claim.uid)
        if others is None or others != step.interval:
            tools.hardware.reset_time_slice(step.gpu_uuid, others or "Default")
        return
    if isinstance(step, EnableMig):
        if mig_needed_by_others(state, claim.uid, step.gpu_uuid):
            return
        steps.undo(tools.hardware, step, gpu)
        tools.refresh()
        return
    steps.undo(tools.hardware, step, gpu)


def _out_of_reach(error: Exception) -> bool:
    lost = isinstance(error, HardwareError) and REACTIONS[error.code].fault == GPU_LOST
    return lost or isinstance(error, (Hung, GpuGone))
