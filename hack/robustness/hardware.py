"""Who has what of the hardware: geometry for the invariants, worked out anew and not taken from the driver."""

from __future__ import annotations

from collections.abc import Iterator

from hack.robustness.observation import (
    HeldDevice,
    Observation,
    Partition,
    Quarantine,
    SeenGpu,
    SeenInstance,
    SeenRecord,
)

from partita_driver.lifecycle import ClaimState
from partita_plugins.model.offer import DeviceKind


def instances(seen: Observation) -> Iterator[tuple[SeenGpu, SeenInstance]]:
    """GPU instances on the hardware, with their GPU."""
    for gpu in seen.gpus:
        yield from ((gpu, instance) for instance in gpu.instances)


def partition(gpu: SeenGpu, instance: SeenInstance) -> Partition:
    """What an instance is to the journal."""
    return gpu.uuid, instance.profile_id, instance.placement


def shown(gpu: SeenGpu, instance: SeenInstance) -> str:
    """An instance in words."""
    return f"the GPU instance with profile {instance.profile_id} at slice {instance.placement.start} of {gpu.uuid}"


def owned(seen: Observation) -> Iterator[tuple[Partition, str]]:
    """Partitions with the claims that have them in the journal."""
    for uid, record in seen.records.items():
        yield from ((device.partition, uid) for device in record.devices if device.partition)


def missing_hardware(seen: Observation, record: SeenRecord) -> Iterator[str]:
    """What a claim's devices lack on the hardware, in words. A lost GPU lacks nothing."""
    gpus = {gpu.uuid: gpu for gpu in seen.gpus}
    for device in record.devices:
        for gpu_uuid in device.gpu_uuids if not device.admin else ():
            gpu = gpus.get(gpu_uuid)
            if gpu is None:
                continue
            if device.partition is None and gpu.mig_enabled:
                yield f"{device.name} is a whole GPU, and {gpu_uuid} is in MIG mode"
            computing = {partition(gpu, one) for one in gpu.instances if one.compute_instances}
            if device.partition and device.partition not in computing:
                yield f"{device.name} is not on the hardware"


def nodes(seen: Observation, record: SeenRecord) -> frozenset[str]:
    """Device nodes that a claim's containers need."""
    needed: set[str] = set()
    for gpu in seen.gpus:
        for device in record.devices:
            if gpu.uuid in device.gpu_uuids or device.kind is DeviceKind.MONITOR:
                needed |= gpu.nodes
                needed |= {n for one in gpu.instances if partition(gpu, one) == device.partition for n in one.nodes}
    return frozenset(needed)


def exclude(one: HeldDevice, other: HeldDevice) -> bool:
    """Shares of one GPU go together; whole GPUs, groups and shared GPUs take every slice, a partition takes its own."""
    if one.kind is other.kind is DeviceKind.SHARED or not set(one.gpu_uuids) & set(other.gpu_uuids):
        return False
    if one.placement is None or other.placement is None:
        return True
    return bool(set(_slices(one)) & set(_slices(other)))


def _slices(device: HeldDevice) -> range:
    return range(device.placement.start, device.placement.end) if device.placement else range(0)


def clients(seen: Observation, gpu_uuid: str) -> list[tuple[HeldDevice, ClaimState]]:
    """The shares of a GPU that claims have in the journal, each with its claim's state."""
    return [
        (device, record.state)
        for record in seen.records.values()
        for device in record.devices
        if device.kind is DeviceKind.SHARED and gpu_uuid in device.gpu_uuids and not device.admin
    ]


def touches(quarantine: Quarantine, device: HeldDevice) -> bool:
    """Whether a device contains quarantined hardware."""
    if device.admin or quarantine.gpu_uuid not in device.gpu_uuids:
        return False
    if quarantine.placement is None or device.placement is None:
        return True
    return quarantine.placement.overlaps(device.placement)
