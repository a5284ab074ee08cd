"""How MIG hardware answers: pure functions from one GPU's record to its next, or a BackendError with NVML's code.

Sources: nvml.h, and what the driver is seen to do (an occupied placement is INSUFFICIENT_RESOURCES, a GPU instance
with a compute instance in it is IN_USE, instance ids do not follow from placements).
"""

from __future__ import annotations

import uuid
from typing import NoReturn

from msgspec.structs import replace

from partita_plugins.backends.simulated.records import ComputeRecord, GpuRecord, InstanceRecord
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.gpu import MigSupport
from partita_plugins.model.instances import ComputeMode, GpuInstance
from partita_plugins.model.mig import MigProfile, Placement

# Ids as seen on real boards, in the order in which they were given out: board's compute slices, then the profile's.
INSTANCE_IDS: dict[int, dict[int, tuple[int, ...]]] = {
    7: {7: (0,), 4: (1, 2), 3: (1, 2), 2: (3, 4, 5), 1: (9, 7, 8, 11, 12, 13, 14)},
    4: {4: (0,), 2: (1, 2), 1: (5, 3, 4, 6)},
}

TIME_SLICES = ("Default", "Short", "Medium", "Long")

# NVML enums of profiles that take every media engine, and of those that take none.
ALL_MEDIA_ENUMS = frozenset({15, 16})
NO_MEDIA_ENUMS = frozenset({13, 14})


def refuse(code: NvmlCode, message: str, advice: str = "") -> NoReturn:
    """Answer as NVML does."""
    raise BackendError(code, message, advice=advice)


def switch_mode(record: GpuRecord, mig: MigSupport | None, *, enabled: bool) -> GpuRecord:
    """The record after a mode switch; on GPUs that need a reset, with the mode pending."""
    if mig is None:
        refuse(NvmlCode.NOT_SUPPORTED, "this GPU has no MIG")
    if record.mig_enabled == enabled == record.mig_pending:
        return record
    if record.instances:
        refuse(NvmlCode.IN_USE, "GPU instances exist", "destroy them first")
    if mig.mode_needs_reset:
        return replace(record, mig_pending=enabled)
    if record.clients:
        refuse(NvmlCode.IN_USE, f"in use by another client: {record.clients[0]}", "stop every process on the GPU")
    return replace(
        record,
        mig_enabled=enabled,
        mig_pending=enabled,
        compute_mode=ComputeMode.DEFAULT,
        moves=record.moves + 1,
    )


def add_gpu_instance(record: GpuRecord, mig: MigSupport | None, profile_id: int, placement: Placement) -> GpuRecord:
    """The record with one more GPU instance."""
    profiles = _profiles(record, mig)
    profile = profiles.get(profile_id)
    if profile is None:
        refuse(NvmlCode.INVALID_ARGUMENT, f"there is no profile with id {profile_id}")
    if placement not in profile.placements:
        refuse(
            NvmlCode.INVALID_ARGUMENT,
            f"{profile.name} cannot start at {placement.start} with size {placement.size}",
            f"its starts are {', '.join(map(str, profile.starts))}, its size is {profile.size}",
        )
    _check_room(record, profiles, profile, placement)
    instance = InstanceRecord(
        gpu_instance_id=_free_id(record, profiles, profile),
        profile_id=profile_id,
        start=placement.start,
        size=placement.size,
    )
    return replace(record, instances=(*record.instances, instance))


def _check_room(record: GpuRecord, profiles: dict[int, MigProfile], profile: MigProfile, placement: Placement) -> None:
    for other in record.instances:
        if other.placement.overlaps(placement):
            refuse(NvmlCode.INSUFFICIENT_RESOURCES, f"GPU instance {other.gpu_instance_id} occupies the placement")
    if sum(other.profile_id == profile.profile_id for other in record.instances) >= profile.max_instances:
        refuse(NvmlCode.INSUFFICIENT_RESOURCES, f"a GPU has at most {profile.max_instances} of {profile.name}")
    others = [profiles[other.profile_id] for other in record.instances]
    with_media = [other for other in others if other.enum not in NO_MEDIA_ENUMS]
    hoarded = any(other.enum in ALL_MEDIA_ENUMS for other in with_media)
    wants_all, wants_none = profile.enum in ALL_MEDIA_ENUMS, profile.enum in NO_MEDIA_ENUMS
    if (hoarded and not wants_none) or (wants_all and with_media):
        refuse(NvmlCode.INSUFFICIENT_RESOURCES, f"no media engine is left for {profile.name}")


def _free_id(record: GpuRecord, profiles: dict[int, MigProfile], profile: MigProfile) -> int:
    board = max(one.compute_slices for one in profiles.values())
    taken = {other.gpu_instance_id for other in record.instances}
    return next(i for i in INSTANCE_IDS[board][profile.compute_slices] if i not in taken)


def remove_gpu_instance(record: GpuRecord, mig: MigSupport | None, gpu_instance_id: int) -> GpuRecord:
    """The record without a GPU instance."""
    _profiles(record, mig)
    instance = find(record, gpu_instance_id)
    if instance.compute:
        refuse(
            NvmlCode.IN_USE, f"GPU instance {gpu_instance_id} has a compute instance", "destroy the compute instance"
        )
    return replace(record, instances=tuple(one for one in record.instances if one is not instance))


def add_compute_instance(record: GpuRecord, mig: MigSupport | None, gpu_uuid: str, gpu_instance_id: int) -> GpuRecord:
    """The record with the compute instance that fills a GPU instance; its UUID was never used before."""
    _profiles(record, mig)
    instance = find(record, gpu_instance_id)
    if instance.compute:
        refuse(NvmlCode.INSUFFICIENT_RESOURCES, f"GPU instance {gpu_instance_id} already has its compute instance")
    mig_uuid = f"MIG-{uuid.uuid5(uuid.UUID(gpu_uuid.removeprefix('GPU-')), str(record.made))}"
    made = replace(instance, compute=(ComputeRecord(compute_instance_id=0, mig_uuid=mig_uuid),))
    return replace(_exchange(record, instance, made), made=record.made + 1)


def remove_compute_instance(
    record: GpuRecord, mig: MigSupport | None, gpu_instance_id: int, compute_instance_id: int
) -> GpuRecord:
    """The record without a compute instance."""
    _profiles(record, mig)
    instance = find(record, gpu_instance_id)
    found = [one for one in instance.compute if one.compute_instance_id == compute_instance_id]
    if not found:
        refuse(NvmlCode.NOT_FOUND, f"GPU instance {gpu_instance_id} has no compute instance {compute_instance_id}")
    if found[0].clients:
        refuse(NvmlCode.IN_USE, f"in use by {found[0].clients[0]}", "stop every process on the instance")
    rest = tuple(one for one in instance.compute if one is not found[0])
    return _exchange(record, instance, replace(instance, compute=rest))


def find(record: GpuRecord, gpu_instance_id: int) -> InstanceRecord:
    """A GPU instance by its id."""
    for instance in record.instances:
        if instance.gpu_instance_id == gpu_instance_id:
            return instance
    refuse(NvmlCode.NOT_FOUND, f"there is no GPU instance {gpu_instance_id}")


def same(record: GpuRecord, instance: GpuInstance) -> InstanceRecord:
    """The record of an instance that a caller holds. NOT_FOUND if it is gone, also when its id was given out again."""
    found = find(record, instance.gpu_instance_id)
    if (found.profile_id, found.placement) != (instance.profile_id, instance.placement):
        refuse(NvmlCode.NOT_FOUND, f"GPU instance {instance.gpu_instance_id} is now another one")
    return found


def set_time_slice(record: GpuRecord, interval: str) -> GpuRecord:
    """The record with another scheduling quantum. Whole GPUs only: MIG instances are never time-sliced."""
    if interval not in TIME_SLICES:
        refuse(NvmlCode.INVALID_ARGUMENT, f"{interval!r} is no time slice", f"one of: {', '.join(TIME_SLICES)}")
    if record.mig_enabled:
        refuse(NvmlCode.NOT_SUPPORTED, "time slices are for whole GPUs, and MIG is on", "switch MIG mode off first")
    return replace(record, time_slice=interval)


def set_compute_mode(record: GpuRecord, mode: ComputeMode) -> GpuRecord:
    """The record with another compute mode. Whole GPUs only."""
    if record.mig_enabled:
        refuse(NvmlCode.NOT_SUPPORTED, "compute modes are for whole GPUs, and MIG is on", "switch MIG mode off first")
    return replace(record, compute_mode=mode)


def _profiles(record: GpuRecord, mig: MigSupport | None) -> dict[int, MigProfile]:
    if mig is None or not record.mig_enabled:
        refuse(NvmlCode.NOT_SUPPORTED, "MIG is off on this GPU", "switch MIG mode on first")
    return {profile.profile_id: profile for profile in mig.profiles}


def _exchange(record: GpuRecord, old: InstanceRecord, new: InstanceRecord) -> GpuRecord:
    return replace(record, instances=tuple(new if one is old else one for one in record.instances))
