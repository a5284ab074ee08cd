"""What follows from what a validation found: what is kept of it, or a quarantine and an error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

import msgspec

from partita_driver.engine.tools import Tools
from partita_driver.engine.validation.look import Check, Looked
from partita_driver.health.faults import NVLINK, VALIDATION, Fault
from partita_driver.journal.records import ClaimRecord, DeviceRecord, GpuLook, JournalState, ValidationSummary
from partita_driver.lifecycle import ClaimEvent
from partita_driver.moments import Moment
from partita_plugins.contracts import Depth
from partita_plugins.errors import ValidationFailed

FINDINGS_TOLD = 3
ADVICE = "the device is quarantined; delete the pod, so that its next one is placed elsewhere"
ADVICE_WHILE_IDLE = (
    "nobody had the GPU, and nobody gets it until it passes again; look at its health and at the kernel log"
)


def is_proof(device: DeviceRecord) -> bool:
    """Whether all of a device's GPUs have just been seen to compute."""
    return device.validation is not None and device.placement is None and device.validation.looked


def summary(looked: Sequence[Looked], moment: Moment) -> ValidationSummary:
    """What is kept of the looks at a device's GPUs, for the claim's status."""
    results = [one.result for one in looked]
    skipped = next((result.skipped for result in results if result.skipped), "")
    return ValidationSummary(
        method=results[0].method,
        depth="skipped" if skipped else results[0].depth.value,
        moment=moment,
        seconds=max(result.seconds for result in results),
        memory_coverage=min(result.memory_coverage for result in results),
        reason=skipped,
    )


def with_looks(tools: Tools, state: JournalState, looked: Iterable[Looked], wanted: Check) -> JournalState:
    """The state with what was seen of whole GPUs, without GPUs that are gone."""
    present = {gpu.uuid for gpu in tools.node.hardware.gpus}
    looks = {gpu_uuid: look for gpu_uuid, look in state.looks.items() if gpu_uuid in present}
    for one in looked:
        if one.device.placement is None and not (one.linked or one.result.skipped):
            looks[one.gpu_uuid] = _look_of(one, looks.get(one.gpu_uuid), wanted, tools.runtime.unix_seconds())
    return msgspec.structs.replace(state, looks=looks)


def _look_of(one: Looked, last: GpuLook | None, wanted: Check, now: float) -> GpuLook:
    """The next idle look goes on where the last full one ended; one that was given up is no validation."""
    result, before = one.result, last or GpuLook()
    next_begin = before.next_begin
    if result.depth is Depth.FULL and result.memory_coverage > 0:
        next_begin = result.memory_end
    if one.passed and wanted.given_up():
        return msgspec.structs.replace(before, next_begin=next_begin)
    return GpuLook(
        at=now,
        moment=wanted.moment,
        method=result.method,
        depth=result.depth.value,
        passed=one.passed,
        seconds=result.seconds,
        memory_coverage=result.memory_coverage,
        next_begin=next_begin,
    )


def reject(tools: Tools, claim: ClaimRecord, failed: Sequence[Looked], wanted: Check) -> NoReturn:
    """Quarantine before anything else, so that nobody is sent here while the steps are undone. Raises."""

    def undoing(state: JournalState) -> JournalState:
        return with_looks(tools, state.with_claim(claim.after(ClaimEvent.UNDO)), failed, wanted)

    tools.quarantine.add(*(fault for one in failed for fault in _faults(one, wanted.moment)), also=undoing)
    first = failed[0]
    raise ValidationFailed(
        f"{first.device.device} failed its validation ({first.result.method}, {first.result.depth}): {_found(first)}",
        advice=ADVICE_WHILE_IDLE if wanted.moment is Moment.IDLE else ADVICE,
    )


def _faults(one: Looked, moment: Moment) -> tuple[Fault, ...]:
    """What the GPU reports as what it is, which may let pods beside this one finish, and the device as failed.

    A pod that waits for the device is evicted, for nobody else would send it elsewhere. While idle nobody waits.
    """
    idle = moment is Moment.IDLE
    if idle and one.result.passed:
        return one.reported
    failure = Fault(
        gpu_uuid=one.gpu_uuid,
        reason=NVLINK if one.linked else VALIDATION,
        message=f"{one.device.device}: {_found(one)}",
        start=one.device.start,
        size=one.device.size,
        effect="NoSchedule" if idle else "NoExecute",
        linked=one.linked,
    )
    return (*one.reported, failure)


def _found(one: Looked) -> str:
    return "; ".join(one.found[:FINDINGS_TOLD])
