"""MIG geometry: placements, profiles, and the counters that make overlap impossible.

Placement units are NVML's memory slices. The axis is 8 long on A100/H100/B200, 4 on A30 and 12 on RTX PRO 6000, so its
length is derived from the placements and never assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd

COUNTER_VALUE_PER_PAIR = 2
"""MIG placements are buddy blocks: one counter of value 2 per pair of slices is exact (tests/model/)."""


@dataclass(frozen=True, slots=True, order=True)
class Placement:
    """Where one GPU instance sits on its GPU."""

    start: int
    """First memory slice it occupies, counted from zero."""

    size: int
    """How many memory slices it occupies."""

    @property
    def end(self) -> int:
        return self.start + self.size

    def overlaps(self, other: Placement) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class MigProfile:
    """One kind of GPU instance a GPU can be cut into, with NVML's own numbers for that GPU."""

    name: str
    """As NVML and users write it: "3g.40gb", "1g.10gb+me"."""

    profile_id: int
    """`profileInfo.id`: what create, placement and capacity calls take. Boards give one id different meanings."""

    enum: int
    """Argument of nvmlDeviceGetGpuInstanceProfileInfo."""

    compute_slices: int
    memory_mib: int
    multiprocessors: int
    max_instances: int
    size: int
    """Memory slices of one placement."""

    starts: tuple[int, ...]
    """Legal first slices."""

    media_extensions: bool = False
    graphics: bool = False
    placements: tuple[Placement, ...] = field(init=False, repr=False, compare=False)
    """At each of the starts."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "placements", tuple(Placement(start, self.size) for start in self.starts))

    @property
    def short_name(self) -> str:
        """The part of the name that survives driver updates: "3g" of "3g.40gb"."""
        return self.name.partition(".")[0]


# NVML enums of the profiles without extra engines; the others overlap these slice for slice and would need a counter
# of their own, so they are never offered beside them.
PLAIN_PROFILE_ENUMS = frozenset({0, 1, 2, 3, 4, 9})


@dataclass(frozen=True, slots=True)
class MigGeometry:
    """The placement axis of one GPU: its unit (slices of the smallest instance) and its pairs of units."""

    unit: int
    pairs: int

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, profiles: tuple[MigProfile, ...]) -> MigGeometry:
        """Derive the axis from legal placements. Without any, the GPU is one indivisible piece."""
        placements = [p for profile in profiles for p in profile.placements]
        if not placements:
            return cls(unit=1, pairs=0)
        unit = gcd(*(n for p in placements for n in (p.start, p.size)))
        length = max(p.end for p in placements)
        return cls(unit=unit, pairs=-(-length // (COUNTER_VALUE_PER_PAIR * unit)))

    def consumed(self, placement: Placement) -> dict[int, int]:
        """How many units of each pair a placement takes: pair index to 1 or 2."""
        first, last = placement.start // self.unit, (placement.end - 1) // self.unit
        taken: dict[int, int] = {}
        for unit in range(first, last + 1):
            taken[unit // 2] = taken.get(unit // 2, 0) + 1
        return taken
