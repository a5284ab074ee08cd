"""What a GPU model is, and the three shapes that MIG takes: NVML's enums, ids, starts and counts, one row a profile."""

from __future__ import annotations

from dataclasses import dataclass, field

from partita_plugins.backends.catalog.engines import EngineTable
from partita_plugins.model.gpu import Architecture
from partita_plugins.model.mig import MigProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One GPU model, as NVML reports it with MIG off."""

    product: str
    pci_device_id: int
    architecture: Architecture
    compute_capability: str
    memory_mib: int
    multiprocessors: int
    profiles: tuple[MigProfile, ...] = ()
    """Empty where the GPU cannot do MIG."""

    engines: EngineTable = field(default_factory=dict)
    """Of each profile, by its enum."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The part of a MIG profile that all boards of one axis share."""

    enum: int
    profile_id: int
    compute_slices: int
    max_instances: int
    size: int
    starts: tuple[int, ...]


EVERY, EVEN = (0, 1, 2, 3, 4, 5, 6), (0, 2, 4, 6)
QUARTERS, HALVES = (0, 3, 6, 9), (0, 6)

# A100, H100, H200, B200, GB200: eight memory slices, seven compute slices (read in real -lgipp output). The rows are
# 1g, 1g+me, 1g double memory, 2g, 3g, 4g, 7g. Published mocks with 3g of 3 units or 7g of 7 are wrong.
SEVEN_SLICES = (
    Shape(0, 19, 1, 7, 1, EVERY),
    Shape(7, 20, 1, 1, 1, EVERY),
    Shape(9, 15, 1, 4, 2, EVEN),
    Shape(1, 14, 2, 3, 2, (0, 2, 4)),
    Shape(2, 9, 3, 2, 4, (0, 4)),
    Shape(3, 5, 4, 1, 4, (0,)),
    Shape(4, 0, 7, 1, 8, (0,)),
)

# A30: 1g, 1g+me, 2g, 2g+me, 4g.
FOUR_SLICES = (
    Shape(0, 14, 1, 4, 1, (0, 1, 2, 3)),
    Shape(7, 21, 1, 1, 1, (0, 1, 2, 3)),
    Shape(1, 5, 2, 2, 2, (0, 2)),
    Shape(8, 6, 2, 1, 2, (0, 2)),
    Shape(3, 0, 4, 1, 4, (0,)),
)

# RTX PRO 6000: 1g, +me, +gfx, -me, +me.all; 2g, +gfx, -me, +me.all; 4g, +gfx. Three units to a slice.
TWELVE_UNITS = (
    Shape(0, 14, 1, 4, 3, QUARTERS),
    Shape(7, 21, 1, 1, 3, QUARTERS),
    Shape(10, 47, 1, 4, 3, QUARTERS),
    Shape(13, 67, 1, 4, 3, QUARTERS),
    Shape(15, 65, 1, 1, 3, QUARTERS),
    Shape(1, 5, 2, 2, 6, HALVES),
    Shape(11, 35, 2, 2, 6, HALVES),
    Shape(14, 66, 2, 2, 6, HALVES),
    Shape(16, 64, 2, 1, 6, HALVES),
    Shape(3, 0, 4, 1, 12, (0,)),
    Shape(12, 32, 4, 1, 12, (0,)),
)


def profiles(axis: tuple[Shape, ...], board: tuple[tuple[str, int, int], ...]) -> tuple[MigProfile, ...]:
    """Join an axis with one board's rows (name, MiB, multiprocessors), in the axis' order."""
    return tuple(
        MigProfile(
            name=name,
            profile_id=shape.profile_id,
            enum=shape.enum,
            compute_slices=shape.compute_slices,
            memory_mib=memory_mib,
            multiprocessors=multiprocessors,
            max_instances=shape.max_instances,
            size=shape.size,
            starts=shape.starts,
            media_extensions="+me" in name,
            graphics="+gfx" in name,
        )
        for shape, (name, memory_mib, multiprocessors) in zip(axis, board, strict=True)
    )
