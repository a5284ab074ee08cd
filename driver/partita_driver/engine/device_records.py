"""A device of the node's hardware as it is journalled, and back: what it is, and the steps that make it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from partita_driver.journal.records import DeviceRecord
from partita_plugins.contracts import ShareRequest, SharingStrategy, strategy_name
from partita_plugins.errors import InvalidInput
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import DeviceKind, OfferedDevice, SlottedHardware, shape_of
from partita_plugins.wire.device_names import parse_name


class GpuAbsent(InvalidInput):
    """A device's GPU is not on the node now."""


def device_by_name(
    node: SlottedHardware, strategies: Mapping[str, SharingStrategy], name: str, **fields: object
) -> DeviceRecord:
    """A device of the hardware as it is now, with its steps. Raises InvalidInput that says what there is."""
    gpus = node.gpus
    return record_of(_offered_by_name(name, gpus), name, gpus, strategies, **fields)


def _offered_by_name(name: str, gpus: Mapping[int, Gpu]) -> OfferedDevice:
    parsed = parse_name(name)
    if parsed.kind is DeviceKind.MONITOR:
        return OfferedDevice(kind=parsed.kind, slots=())
    slots = parsed.slots or tuple(slot for slot, gpu in gpus.items() if gpu.pci_label == parsed.pci_label)
    if not slots or any(slot not in gpus for slot in slots):
        raise GpuAbsent(
            f"there is no device {name} on this node",
            advice="its GPU is lost or was taken out: delete the pod, so that its next one is placed elsewhere",
        )
    if parsed.kind is not DeviceKind.MIG:
        return OfferedDevice(kind=parsed.kind, slots=slots)
    mig = gpus[slots[0]].mig
    for profile in mig.profiles if mig else ():
        places = [one for one in profile.placements if one.start == parsed.start]
        if profile.profile_id == parsed.profile_id and shape_of(profile) == parsed.shape and places:
            return OfferedDevice(kind=DeviceKind.MIG, slots=slots, profile=profile, placement=places[0])
    have = ", ".join(profile.name for profile in mig.profiles) if mig else "no MIG at all"
    raise InvalidInput(
        f"{gpus[slots[0]].product} has no partition {name}",
        advice=f"it has {have}; choose a DeviceClass for one of these",
    )


def offered_device(record: DeviceRecord, gpus: Mapping[int, Gpu]) -> OfferedDevice:
    """The device of a record on the hardware as it is now. Raises InvalidInput if the hardware no longer has it."""
    missing = [slot for slot in record.slots if slot not in gpus]
    if missing:
        raise InvalidInput(
            f"{record.device} is not on this node now", advice="a lost GPU comes back after a reset or a repair"
        )
    if record.placement is None:
        return OfferedDevice(kind=record.kind, slots=record.slots)
    mig = gpus[record.slots[0]].mig
    for profile in mig.profiles if mig else ():
        if profile.profile_id == record.profile_id and record.placement in profile.placements:
            return OfferedDevice(kind=DeviceKind.MIG, slots=record.slots, profile=profile, placement=record.placement)
    raise InvalidInput(f"the GPU has no partition {record.device}", advice="compare with the node's ResourceSlices")


def share_of(record: DeviceRecord) -> ShareRequest:
    """How a granted device is shared."""
    return ShareRequest(
        memory_mib=record.memory_mib,
        time_slice=record.time_slice,
        mps=record.mps,
        active_thread_percentage=record.active_thread_percentage,
    )


def record_of(
    offered: OfferedDevice,
    name: str,
    gpus: Mapping[int, Gpu],
    strategies: Mapping[str, SharingStrategy],
    **fields: object,
) -> DeviceRecord:
    """A device as it is journalled; `fields` are those of the grant. Admin access, as a monitor's, has no steps."""
    record = DeviceRecord(
        request="",
        device=name,
        kind=offered.kind,
        slots=offered.slots,
        gpu_uuids=tuple(gpus[slot].uuid for slot in offered.slots),
        profile_id=offered.profile.profile_id if offered.profile else None,
        start=offered.placement.start if offered.placement else None,
        size=offered.placement.size if offered.placement else None,
        admin=offered.kind is DeviceKind.MONITOR,
    )
    record = msgspec.structs.replace(record, **fields)
    if record.admin:
        return record
    steps = strategies[strategy_name(offered.kind, mps=record.mps)].steps(offered, gpus, share_of(record))
    return msgspec.structs.replace(record, steps=steps)
