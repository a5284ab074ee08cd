"""What follows from what a validation found: a summary that is kept, or a quarantine and an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from partita_driver.engine.tools import Tools
from partita_driver.health.faults import VALIDATION, Fault
from partita_driver.journal.records import ClaimRecord, DeviceRecord, JournalState, ValidationSummary
from partita_driver.lifecycle import ClaimEvent
from partita_driver.moments import Moment
from partita_plugins.contracts import ValidationResult
from partita_plugins.errors import ValidationFailed

FINDINGS_TOLD = 3


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found of one GPU of a device."""

    device: DeviceRecord
    gpu_uuid: str
    result: ValidationResult

    @property
    def found(self) -> str:
        return "; ".join(self.result.findings[:FINDINGS_TOLD])


def is_proof(device: DeviceRecord) -> bool:
    """Whether all of a device's GPUs have just been seen to compute."""
    return device.validation is not None and device.placement is None and device.validation.looked


def summary(
    device: DeviceRecord, moment: Moment, results: Sequence[ValidationResult], skipped: tuple[str, str]
) -> ValidationSummary | None:
    """What is kept of the looks at a device's GPUs; of none, method and reason of `skipped`."""
    if device.admin:
        return None
    if not results:
        method, reason = skipped
        return ValidationSummary(method=method, depth="skipped", moment=moment, reason=reason)
    return ValidationSummary(
        method=results[0].method,
        depth=results[0].depth.value,
        moment=moment,
        seconds=max(result.seconds for result in results),
        memory_coverage=min(result.memory_coverage for result in results),
    )


def reject(tools: Tools, claim: ClaimRecord, failed: Sequence[Looked]) -> NoReturn:
    """Quarantine before anything else, so that nobody is sent here while the steps are undone."""

    def undoing(state: JournalState) -> JournalState:
        return state.with_claim(claim.after(ClaimEvent.UNDO))

    faults = [
        Fault(
            gpu_uuid=one.gpu_uuid,
            reason=VALIDATION,
            message=f"{one.device.device}: {one.found}",
            start=one.device.start,
            size=one.device.size,
        )
        for one in failed
    ]
    tools.quarantine(*faults, also=undoing)
    first = failed[0]
    raise ValidationFailed(
        f"{first.device.device} failed its validation ({first.result.method}, {first.result.depth}): {first.found}",
        advice="the device is quarantined; delete the pod, so that its next one is placed elsewhere",
    )
