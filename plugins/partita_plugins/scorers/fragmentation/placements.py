"""What the kinds of devices that a GPU offers can still use of it."""

from __future__ import annotations

from functools import lru_cache

from partita_plugins.contracts import GpuState, ProfileShape


@lru_cache(maxsize=65536)
def usable_milli(profiles: tuple[ProfileShape, ...], units: int, free: frozenset[int]) -> float:
    """Of a GPU's free units those that a placement could use, in milli-GPU, on average over the kinds offered.

    A kind that fits nowhere uses nothing; uniform weights are as good as the best known for MIG.
    """
    if not profiles:
        return 1000.0 * len(free) / units
    return 1000.0 * sum(len(covered(profile, free)) for profile in profiles) / (len(profiles) * units)


def covered(profile: ProfileShape, free: frozenset[int]) -> frozenset[int]:
    """Free units that some placement of the profile could still use."""
    placements = (frozenset(range(start, start + profile.size)) for start in profile.starts)
    return frozenset().union(*(units for units in placements if units <= free))


def largest(gpu: GpuState) -> str:
    """The largest kind of device that still fits; empty if none does."""
    return next((profile.shape for profile in gpu.profiles if covered(profile, gpu.free)), "")
