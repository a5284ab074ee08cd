"""What may stand beside what: decisions over the journal's state, without side effects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec

from partita_driver.health.faults import Fault
from partita_driver.journal.records import ClaimRecord, DeviceRecord, JournalState
from partita_driver.lifecycle import ClaimState
from partita_plugins.errors import Permanent, Retryable
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.steps import EnableMig, SetTimeSlice

HELD = frozenset({ClaimState.MADE, ClaimState.CHECKED, ClaimState.PREPARED})
"""States in which a claim's steps are on the hardware."""

CHECKED = frozenset({ClaimState.CHECKED, ClaimState.PREPARED})
"""States in which there is a verdict on a claim's devices."""


def other_devices(state: JournalState, claim_uid: str) -> Iterator[tuple[ClaimRecord, DeviceRecord]]:
    """Devices that other claims have, without admin access, which owns nothing."""
    for claim in state.claims.values():
        if claim.uid != claim_uid:
            yield from ((claim, device) for device in claim.devices if not device.admin)


def own_devices(claim: ClaimRecord) -> list[DeviceRecord]:
    """What a claim has for itself: its devices without admin access."""
    return [device for device in claim.devices if not device.admin]


def overlap(one: DeviceRecord, other: DeviceRecord) -> bool:
    """Whether two devices exclude each other: they touch the same hardware and are not shares of one GPU."""
    if one.kind is DeviceKind.SHARED and other.kind is DeviceKind.SHARED:
        return False
    if not set(one.gpu_uuids) & set(other.gpu_uuids):
        return False
    return one.placement is None or other.placement is None or one.placement.overlaps(other.placement)


def conflicts(state: JournalState, claim: ClaimRecord) -> Iterator[tuple[DeviceRecord, ClaimRecord, DeviceRecord]]:
    """Each of a claim's devices that another claim has, or may still have, any hardware of: with that claim's own."""
    addresses = {slot: address for address, slot in state.slots.items()}
    wanted = own_devices(claim)
    for holder, held in other_devices(state, claim.uid):
        for device in wanted:
            if overlap(device, held) or _waits_for(held, {addresses.get(slot, "") for slot in device.slots}):
                yield device, holder, held


def refuse_overlap(state: JournalState, claim: ClaimRecord) -> None:
    """Raise Retryable if another claim has, or may still have, any of this claim's hardware."""
    for device, holder, held in conflicts(state, claim):
        name = f"{holder.namespace}/{holder.name} ({holder.uid})" if holder.name else holder.uid
        raise Retryable(
            f"{device.device} overlaps {held.device}, which is {holder.state} for claim {name}",
            delay_seconds=2.0,
            advice="it is free once that claim's pod is gone",
        )


def is_waited_for(state: JournalState, address: str) -> bool:
    """Whether a claim may have anything on the GPU at a PCI address that nobody has looked at yet."""
    return any(_waits_for(device, {address}) for claim in state.claims.values() for device in claim.devices)


def _waits_for(device: DeviceRecord, addresses: Collection[str]) -> bool:
    """Whether a device is known by its name alone, and one of these is its GPU's PCI address."""
    return device.named_alone and not device.admin and any(one in addresses for one in device.gpu_uuids)


def refuse_other_time_slice(state: JournalState, claim: ClaimRecord) -> None:
    """Raise Permanent if clients of one GPU want different quanta. "Default" goes with any."""
    beside = [*(held for _, held in other_devices(state, claim.uid)), *own_devices(claim)]
    for device in own_devices(claim):
        for held in beside:
            if (
                device.kind is held.kind is DeviceKind.SHARED
                and device.gpu_uuids == held.gpu_uuids
                and len({"Default", device.time_slice, held.time_slice}) > 2
            ):
                raise Permanent(
                    f"{device.device} runs with time slice {held.time_slice}, not {device.time_slice}",
                    advice=f'ask for "timeSlice: {held.time_slice}", or leave it out',
                )


def refuse_faulty(faults: Iterable[Fault], devices: Iterable[DeviceRecord]) -> None:
    """Raise Permanent for quarantined hardware, whatever the claim tolerates. Admin access may look at it."""
    for device in devices:
        for fault in faults:
            if not device.admin and touches(fault, device):
                raise Permanent(
                    f"{device.device} is quarantined ({fault.reason}): {fault.message}",
                    advice="delete the pod, so that its next one is placed elsewhere",
                )


def touches(fault: Fault, device: DeviceRecord) -> bool:
    """Whether a device contains faulty hardware."""
    return any(fault.overlaps(gpu_uuid, device.placement) for gpu_uuid in device.gpu_uuids)


def mig_needed_by_others(state: JournalState, claim_uid: str, gpu_uuid: str) -> bool:
    """Whether another claim's partition needs MIG mode on this GPU, or will."""
    return any(
        EnableMig(gpu_uuid) in device.steps or (device.placement and gpu_uuid in device.gpu_uuids)
        for _holder, device in other_devices(state, claim_uid)
    )


def time_slice_of(state: JournalState, gpu_uuid: str, without: str) -> str | None:
    """The quantum that the other clients of a GPU have it set to; None without other clients."""
    wanted = {
        step.interval
        for holder, device in other_devices(state, without)
        if holder.state in HELD
        for step in device.steps
        if isinstance(step, SetTimeSlice) and step.gpu_uuid == gpu_uuid
    }
    return next((one for one in sorted(wanted) if one != "Default"), "Default") if wanted else None


def shared_with_others(state: JournalState, claim_uid: str, device: DeviceRecord) -> bool:
    """Whether other claims compute on this shared GPU, or may: it was found good for them."""
    return device.kind is DeviceKind.SHARED and any(
        holder.state in CHECKED and held.gpu_uuids == device.gpu_uuids
        for holder, held in other_devices(state, claim_uid)
    )


def owned_placements(state: JournalState, gpu_uuid: str) -> set[tuple[int | None, Placement]]:
    """Profile and place of every partition on a GPU that any claim has, or may still have."""
    return {
        (device.profile_id, device.placement)
        for claim in state.claims.values()
        for device in claim.devices
        if device.placement and gpu_uuid in device.gpu_uuids and not device.admin
    }


def is_held_twice(state: JournalState, claim_uid: str, device: DeviceRecord) -> bool:
    """Whether another claim has a claim's partition too: one of them only looks at it.

    So it is after the journal was lost, where nothing but CDI files told of a claim: they do not say "admin access".
    """
    return (device.profile_id, device.placement) in {
        (other.profile_id, other.placement)
        for _holder, other in other_devices(state, claim_uid)
        if device.placement and not device.admin and device.gpu_uuids == other.gpu_uuids
    }


def with_clean(state: JournalState, *, add: Iterable[str] = (), drop: Iterable[str] = ()) -> JournalState:
    """The state with GPUs noted as proven and unused since, or no longer."""
    return msgspec.structs.replace(state, clean=tuple(sorted((set(state.clean) | set(add)) - set(drop))))
