"""GPU instances and compute instances: listed, made, destroyed. Looked up anew each time, for others make them too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import byref, c_uint
from typing import Any

import pynvml

from partita_plugins.backends.nvml import mig
from partita_plugins.backends.nvml.answers import NOT_THERE, optional
from partita_plugins.backends.nvml.processes import holders
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.instances import ComputeInstance, GpuInstance
from partita_plugins.model.mig import Placement

SHARED = pynvml.NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED


def listed(handle: Any, gpu_uuid: str) -> tuple[GpuInstance, ...]:
    """All GPU instances by place, also those without a compute instance; none where MIG is off."""
    found = mig.mode(handle)
    if found is None or not found[0]:
        return ()
    instances = [_value(instance, gpu_uuid) for info in _profiles(handle) for instance in _instances(handle, info)]
    return tuple(sorted(instances, key=lambda one: (one.placement, one.gpu_instance_id)))


def create(handle: Any, gpu_uuid: str, profile_id: int, placement: Placement) -> GpuInstance:
    """A GPU instance just there: where NVML itself would put one, it blocks others."""
    _require_on(handle)
    legal = mig.placements(handle, profile_id)
    if placement not in legal:
        raise BackendError(
            NvmlCode.INVALID_ARGUMENT,
            f"profile {profile_id} cannot be at {placement.start} with size {placement.size}",
            advice=f"it can start at {', '.join(str(one.start) for one in legal) or 'no slice of this GPU'}",
        )
    where = pynvml.c_nvmlGpuInstancePlacement_t(placement.start, placement.size)
    return _value(pynvml.nvmlDeviceCreateGpuInstanceWithPlacement(handle, profile_id, byref(where)), gpu_uuid)


def destroy(handle: Any, gpu_instance_id: int) -> None:
    """Take a GPU instance away. IN_USE while it has a compute instance."""
    _require_on(handle)
    instance = pynvml.nvmlDeviceGetGpuInstanceById(handle, gpu_instance_id)
    with _in_use(lambda: _why(instance, handle)):
        pynvml.nvmlGpuInstanceDestroy(instance)


def create_compute(handle: Any, gpu_instance_id: int) -> ComputeInstance:
    """The compute instance that takes all of a GPU instance."""
    _require_on(handle)
    instance = pynvml.nvmlDeviceGetGpuInstanceById(handle, gpu_instance_id)
    profile_id = pynvml.nvmlGpuInstanceGetInfo(instance).profileId
    slices = next(info.sliceCount for info in _profiles(handle) if info.id == profile_id)
    # NVML may list profiles wider than the instance, and a second one-slice profile at the end.
    fitting = [info for info in _compute_profiles(instance) if info.sliceCount <= slices]
    widest = max(fitting, key=lambda info: info.sliceCount)
    return _compute_value(pynvml.nvmlGpuInstanceCreateComputeInstance(instance, widest.id))


def destroy_compute(handle: Any, gpu_instance_id: int, compute_instance_id: int) -> None:
    """Take a compute instance away. IN_USE while a process computes on it."""
    _require_on(handle)
    instance = pynvml.nvmlDeviceGetGpuInstanceById(handle, gpu_instance_id)
    compute = pynvml.nvmlGpuInstanceGetComputeInstanceById(instance, compute_instance_id)
    with _in_use(lambda: holders(handle)):
        pynvml.nvmlComputeInstanceDestroy(compute)


def find(handle: Any, wanted: GpuInstance) -> GpuInstance:
    """The instance that a caller holds, as it is now. NOT_FOUND if it is gone, also when its id was given out again."""
    found = _value(pynvml.nvmlDeviceGetGpuInstanceById(handle, wanted.gpu_instance_id), wanted.gpu_uuid)
    if (found.profile_id, found.placement) != (wanted.profile_id, wanted.placement):
        raise BackendError(NvmlCode.NOT_FOUND, f"GPU instance {wanted.gpu_instance_id} is now another one")
    return found


def placement_of(handle: Any, gpu_instance_id: int) -> Placement:
    """Where a GPU instance is. Raises NVMLError where it is gone."""
    info = pynvml.nvmlGpuInstanceGetInfo(pynvml.nvmlDeviceGetGpuInstanceById(handle, gpu_instance_id))
    return Placement(info.placement.start, info.placement.size)


def _require_on(handle: Any) -> None:
    enabled, _ = mig.require_mig(handle)
    if not enabled:
        raise BackendError(NvmlCode.NOT_SUPPORTED, "MIG is off on this GPU", advice="switch MIG mode on first")


def _profiles(handle: Any) -> Iterator[Any]:
    found = (mig.profile_info(handle, enum) for enum in range(pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT))
    return (info for info in found if info is not None)


def _instances(handle: Any, profile: Any) -> list[Any]:
    """Handles of the GPU instances of one profile."""
    count = c_uint(profile.instanceCount)
    found = (pynvml.c_nvmlGpuInstance_t * max(1, profile.instanceCount))()
    told = optional(pynvml.nvmlDeviceGetGpuInstances, handle, profile.id, found, byref(count), otherwise=None)
    return [] if told is None else list(found[: count.value])


def _value(instance: Any, gpu_uuid: str) -> GpuInstance:
    info = pynvml.nvmlGpuInstanceGetInfo(instance)
    return GpuInstance(
        gpu_uuid=gpu_uuid,
        gpu_instance_id=info.id,
        profile_id=info.profileId,
        placement=Placement(info.placement.start, info.placement.size),
        compute_instances=tuple(
            _compute_value(compute)
            for profile in _compute_profiles(instance)
            for compute in _computes(instance, profile)
        ),
    )


def _compute_profiles(instance: Any) -> list[Any]:
    found = (_compute_profile(instance, enum) for enum in range(pynvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT))
    return [info for info in found if info is not None]


def _compute_profile(instance: Any, enum: int) -> Any | None:
    try:
        return pynvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(instance, enum, SHARED, version=1)
    except pynvml.NVMLError as error:
        if error.value not in NOT_THERE:
            raise
        return None


def _computes(instance: Any, profile: Any) -> list[Any]:
    count = c_uint(profile.instanceCount)
    found = (pynvml.c_nvmlComputeInstance_t * max(1, profile.instanceCount))()
    told = optional(
        pynvml.nvmlGpuInstanceGetComputeInstances, instance, profile.id, found, byref(count), otherwise=None
    )
    return [] if told is None else list(found[: count.value])


def _compute_value(compute: Any) -> ComputeInstance:
    info = pynvml.nvmlComputeInstanceGetInfo_v2(compute)
    # Not the parent's handle, as its name suggests, but the MIG device's.
    return ComputeInstance(compute_instance_id=info.id, mig_uuid=pynvml.nvmlDeviceGetUUID(info.device))


def _why(instance: Any, handle: Any) -> str:
    has_compute = any(_computes(instance, profile) for profile in _compute_profiles(instance))
    return "destroy its compute instance first" if has_compute else holders(handle)


@contextmanager
def _in_use(advice: Callable[[], str]) -> Iterator[None]:
    """NVML's IN_USE, with whom to stop."""
    try:
        yield
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_IN_USE:
            raise
        raise BackendError(NvmlCode.IN_USE, "the instance is in use", advice=advice()) from error
