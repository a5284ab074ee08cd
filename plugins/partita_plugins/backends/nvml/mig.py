"""What MIG can do on a GPU, and its mode. Profiles and placements are what NVML lists, never a table of ours."""

from __future__ import annotations

from ctypes import byref, c_uint
from typing import Any

import pynvml

from partita_plugins.backends.nvml.answers import NOT_THERE, fields, optional
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.gpu import MigSupport
from partita_plugins.model.mig import MigProfile, Placement

MEDIA_ENUMS = frozenset({7, 8, 15, 16})
"""Profiles with media extensions: +me of 1g and 2g, +me.all of both."""

GRAPHICS_ENUMS = frozenset({10, 11, 12, 17})

RESETLESS = pynvml.NVML_FI_DEV_IS_RESETLESS_MIG_SUPPORTED
ON = pynvml.NVML_DEVICE_MIG_ENABLE


def mode(handle: Any) -> tuple[bool, bool] | None:
    """Current and pending mode; None where the GPU cannot do MIG."""
    found = optional(pynvml.nvmlDeviceGetMigMode, handle, otherwise=None)
    return None if found is None else (found[0] == ON, found[1] == ON)


def needs_reset(handle: Any) -> bool:
    """Whether a mode switch takes a reset; drivers that do not say so are judged by the generation."""
    resetless = fields(handle, [RESETLESS]).get(RESETLESS)
    if resetless is None:
        return bool(pynvml.nvmlDeviceGetArchitecture(handle) == pynvml.NVML_DEVICE_ARCH_AMPERE)
    return not resetless


def support(handle: Any) -> MigSupport | None:
    """What MIG can do on a GPU; None where it cannot do any."""
    found = mode(handle)
    if found is None:
        return None
    return MigSupport(
        profiles=profiles(handle), enabled=found[0], pending=found[1], mode_needs_reset=needs_reset(handle)
    )


def profiles(handle: Any) -> tuple[MigProfile, ...]:
    """All profiles with their legal placements, smallest first.

    Empty where the driver lists none while MIG is off (R535), or none to a process without privileges.
    """
    found = (_profile(handle, enum) for enum in range(pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT))
    known = [one for one in found if one is not None]
    return tuple(sorted(known, key=lambda one: (one.compute_slices, one.size, one.enum)))


def _profile(handle: Any, enum: int) -> MigProfile | None:
    try:
        info = profile_info(handle, enum)
        places = () if info is None else placements(handle, info.id)
    except pynvml.NVMLError as error:
        if error.value in NOT_THERE or error.value == pynvml.NVML_ERROR_NO_PERMISSION:
            return None
        raise
    if info is None or not places:
        return None
    return MigProfile(
        name=_name(info, handle, enum),
        profile_id=info.id,
        enum=enum,
        compute_slices=info.sliceCount,
        memory_mib=info.memorySizeMB,
        multiprocessors=info.multiprocessorCount,
        max_instances=min(info.instanceCount, len(places)),
        size=places[0].size,
        starts=tuple(sorted(place.start for place in places)),
        media_extensions=enum in MEDIA_ENUMS,
        graphics=enum in GRAPHICS_ENUMS,
    )


def profile_info(handle: Any, enum: int) -> Any | None:
    """NVML's profile, in the newest version that the driver knows; None where there is none."""
    for version in (2, 1):
        try:
            return pynvml.nvmlDeviceGetGpuInstanceProfileInfo(handle, enum, version=version)
        except pynvml.NVMLError as error:
            if error.value not in NOT_THERE:
                raise
    return None


def placements(handle: Any, profile_id: int) -> tuple[Placement, ...]:
    """Legal placements of a profile, whether occupied or not. Raises NVMLError for a profile that there is not."""
    count = c_uint()
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(handle, profile_id, None, byref(count))
    found = (pynvml.c_nvmlGpuInstancePlacement_t * count.value)()
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(handle, profile_id, found, byref(count))
    return tuple(Placement(one.start, one.size) for one in found[: count.value])


def _name(info: Any, handle: Any, enum: int) -> str:
    """As the driver writes it; drivers before R525 leave it to their callers, who agree on slices and gigabytes."""
    if hasattr(info, "name"):
        return str(info.name).removeprefix("MIG ")  # pynvml has decoded it
    total_mib = pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**20
    eighths = -(-8 * info.memorySizeMB // int(total_mib))
    gigabytes = round(eighths / 8 * -(-total_mib // 1024))
    return f"{info.sliceCount}g.{gigabytes}gb{'+me' if enum in MEDIA_ENUMS else ''}"


def require_mig(handle: Any) -> tuple[bool, bool]:
    """Current and pending mode. NOT_SUPPORTED where the GPU cannot do MIG."""
    found = mode(handle)
    if found is None:
        raise BackendError(NvmlCode.NOT_SUPPORTED, "this GPU has no MIG", advice="use it whole or shared")
    return found
