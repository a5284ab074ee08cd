"""What kube-scheduler asks of a node before it binds a pod there, and how it is answered: values and decisions."""

from __future__ import annotations

from collections.abc import Sequence

from partita_driver.api.claim_status import condition
from partita_plugins.errors import InvalidInput, PartitaError, Retryable, ValidationFailed
from partita_plugins.wire import DRIVER_NAME, VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, AllocationResult, ResourceClaim

MESSAGE_MAX = 512
"""Characters of a failure's message: it comes to the pod's event by way of kube-scheduler, among its own words."""

REASONS: dict[type[PartitaError], str] = {
    ValidationFailed: "ValidationFailed",
    InvalidInput: "InvalidClaim",
    Retryable: "NotReadyInTime",
}
"""Word for kube-scheduler's event, by error; any other is "Refused"."""


def own_results(claim: ResourceClaim, pool: str) -> tuple[AllocationResult, ...]:
    """The devices of a node's pool that a claim holds."""
    allocation = claim.status.allocation
    results = allocation.devices.results if allocation else []
    return tuple(one for one in results if one.driver == DRIVER_NAME and one.pool == pool)


def is_asked(claim: ResourceClaim, pool: str) -> bool:
    """Whether kube-scheduler waits for this node: a device of its with our condition, and no word on it."""
    if claim.metadata.deletion_timestamp:
        return False
    waiting = [one for one in own_results(claim, pool) if VALIDATED_CONDITION in one.binding_conditions]
    answered = {
        (entry.pool, entry.device, entry.share_id)
        for entry in claim.status.devices
        if entry.driver == DRIVER_NAME and any(_is_word(one.type, one.status) for one in entry.conditions or ())
    }
    return any((one.pool, one.device, one.share_id) not in answered for one in waiting)


def is_same_allocation(now: ResourceClaim, claim: ResourceClaim) -> bool:
    """Whether a claim that was just read still has the allocation that work was done for."""
    there, seen = now.status.allocation, claim.status.allocation
    return now.metadata.uid == claim.metadata.uid and (
        there and (there.devices.results, there.allocation_timestamp)
    ) == (seen and (seen.devices.results, seen.allocation_timestamp))


def failed_status(claim: ResourceClaim, pool: str, error: PartitaError) -> tuple[AllocatedDeviceStatus, ...]:
    """The failure on all of the claim's devices here: kube-scheduler reads none behind one that it still waits for."""
    # What to do about hardware is not for the pod's owner, whose pod goes elsewhere.
    words = str(error) if isinstance(error, InvalidInput) else error.finding
    said = condition(VALIDATION_FAILED_CONDITION, reason_of(error), words[:MESSAGE_MAX])
    keys = dict.fromkeys((one.device, one.share_id) for one in own_results(claim, pool))
    return tuple(
        AllocatedDeviceStatus(driver=DRIVER_NAME, pool=pool, device=device, share_id=share_id, conditions=[said])
        for device, share_id in keys
    )


def once_each(entries: Sequence[AllocatedDeviceStatus]) -> tuple[AllocatedDeviceStatus, ...]:
    """Entries by device: admin access may name the same one for two requests."""
    return tuple({(entry.device, entry.share_id): entry for entry in entries}.values())


def reason_of(error: PartitaError) -> str:
    """The word for an error."""
    return next((word for kind, word in REASONS.items() if isinstance(error, kind)), "Refused")


def _is_word(kind: str, status: str) -> bool:
    return status == "True" and kind in (VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION)
