"""One counter a pair of slices is exact: counters allow a set of devices if and only if nothing overlaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations

import pytest

from partita_plugins.model.gpu import Gpu
from partita_plugins.model.mig import MigGeometry, MigProfile, Placement
from partita_plugins.model.offer import (
    DeviceKind,
    OfferedDevice,
    consumed_counters,
    counter_set_of,
    counters_of_gpu,
    offered_devices,
)
from tests.model.conftest import EVERYTHING, slotted

# Board, then sets of up to four devices: the whole GPU and its plain partitions.
AXES = [("hgx-h100", 5035), ("dgx-a100-40", 5035), ("a30-x4", 162), ("rtx-pro-6000-x8", 162)]


def devices_of_one_gpu(name: str, *kinds: DeviceKind) -> tuple[list[OfferedDevice], Mapping[int, Gpu]]:
    node = slotted(name)
    offered = [one for one in offered_devices(node, EVERYTHING) if one.slots == (0,) and one.kind in kinds]
    return offered, node.gpus


def counters_allow(devices: Iterable[OfferedDevice], gpus: Mapping[int, Gpu]) -> bool:
    """What the allocator computes: no counter of any set is overdrawn."""
    used: Counter[tuple[str, str]] = Counter()
    for device in devices:
        for name, counters in consumed_counters(device, gpus).items():
            used.update({(name, counter): value for counter, value in counters.items()})
    slots = {slot for device in devices for slot in device.slots}
    totals = {
        (counter_set_of(slot), counter): value
        for slot in slots
        for counter, value in counters_of_gpu(slot, gpus[slot]).items()
    }
    return all(value <= totals[key] for key, value in used.items())


def overlap(a: OfferedDevice, b: OfferedDevice) -> bool:
    """What is true of the hardware."""
    if not set(a.slots) & set(b.slots):
        return False
    return a.placement is None or b.placement is None or a.placement.overlaps(b.placement)


@pytest.mark.parametrize(("name", "count"), AXES)
def test_counters_allow_a_set_of_devices_exactly_when_nothing_overlaps(name: str, count: int) -> None:
    devices, gpus = devices_of_one_gpu(name, DeviceKind.GPU, DeviceKind.MIG)
    sets = [chosen for size in (1, 2, 3, 4) for chosen in combinations(devices, size)]
    assert len(sets) == count
    wrong = [
        chosen
        for chosen in sets
        if counters_allow(chosen, gpus) == any(overlap(a, b) for a, b in combinations(chosen, 2))
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["hgx-h100", "dgx-1v", "a30-x4"])
def test_devices_of_different_kinds_exclude_one_another_pairwise(name: str) -> None:
    """Shared GPUs and groups too: every pair of devices of a node with two GPUs in view."""
    node = slotted(name)
    devices = [one for one in offered_devices(node, EVERYTHING) if set(one.slots) & {0, 1}]
    for a, b in combinations(devices, 2):
        assert counters_allow((a, b), node.gpus) == (not overlap(a, b)), (a, b)


def layouts(profiles: list[MigProfile]) -> list[frozenset[tuple[int, Placement]]]:
    """Every non-empty set of placements without overlap and within each profile's maximum."""
    options = [(profile, placement) for profile in profiles for placement in profile.placements]
    found: list[frozenset[tuple[int, Placement]]] = []

    def extend(first: int, chosen: tuple[tuple[MigProfile, Placement], ...]) -> None:
        for index in range(first, len(options)):
            profile, placement = options[index]
            if any(placement.overlaps(other) for _, other in chosen):
                continue
            if sum(other is profile for other, _ in chosen) >= profile.max_instances:
                continue
            longer = (*chosen, options[index])
            found.append(frozenset((one.profile_id, where) for one, where in longer))
            extend(index + 1, longer)

    extend(0, ())
    return found


# Non-empty layouts, maximal ones, and maximal ones as multisets of profiles: by exhaustive search elsewhere.
LAYOUT_COUNTS = [
    ("hgx-h100", {0, 1, 2, 3, 4}, 297, 19, 14),
    ("hgx-h100", {0, 1, 2, 3, 4, 9}, 722, 78, 38),
    ("hgx-h100", {0, 1, 2, 3, 4, 7}, 1088, 67, 24),
    ("hgx-h100", {0, 1, 2, 3, 4, 7, 9}, 2318, 239, 64),
    ("a30-x4", {0, 1, 3}, 25, 5, 4),
    ("a30-x4", {0, 1, 3, 7, 8}, 83, 21, 9),
    ("rtx-pro-6000-x8", {0, 1, 3}, 25, 5, 4),
]


@pytest.mark.parametrize(("name", "enums", "placed", "maximal", "multisets"), LAYOUT_COUNTS)
def test_the_tables_give_the_known_numbers_of_layouts(
    name: str, enums: set[int], placed: int, maximal: int, multisets: int
) -> None:
    mig = slotted(name).gpus[0].mig
    assert mig is not None
    found = layouts([profile for profile in mig.profiles if profile.enum in enums])
    extended = {smaller for layout in found for smaller in _one_less(layout)}
    full = [layout for layout in found if layout not in extended]
    kinds = {tuple(sorted(profile_id for profile_id, _ in layout)) for layout in full}
    assert (len(found), len(full), len(kinds)) == (placed, maximal, multisets)


def _one_less(layout: frozenset[tuple[int, Placement]]) -> Iterable[frozenset[tuple[int, Placement]]]:
    return (layout - {one} for one in layout)


@pytest.mark.parametrize(
    ("name", "shapes", "count"),
    [
        ("hgx-h100", {"1g", "2g", "3g", "4g", "7g"}, 297),
        ("hgx-h100", {"1g", "1g-double", "2g", "3g", "4g", "7g"}, 722),
        ("a30-x4", {"1g", "2g", "4g"}, 25),
        ("rtx-pro-6000-x8", {"1g", "2g", "4g"}, 25),
    ],
)
def test_counters_allow_as_many_layouts_as_the_hardware(name: str, shapes: set[str], count: int) -> None:
    """Sets of any size, grown one device at a time."""
    everything, gpus = devices_of_one_gpu(name, DeviceKind.MIG)
    devices = [one for one in everything if one.profile and _shape(one.profile) in shapes]
    level: list[tuple[int, ...]] = [()]
    total = 0
    while level:
        level = [
            (*chosen, index)
            for chosen in level
            for index in range(chosen[-1] + 1 if chosen else 0, len(devices))
            if counters_allow([devices[i] for i in (*chosen, index)], gpus)
        ]
        total += len(level)
    assert total == count


def _shape(profile: MigProfile) -> str:
    return "1g-double" if profile.enum == 9 else profile.name.split(".", maxsplit=1)[0]


@pytest.mark.parametrize(("name", "unit", "pairs"), [("hgx-h100", 1, 4), ("a30-x4", 1, 2), ("rtx-pro-6000-x8", 3, 2)])
def test_the_axis_is_derived_from_placements(name: str, unit: int, pairs: int) -> None:
    mig = slotted(name).gpus[0].mig
    assert mig is not None
    assert mig.geometry == MigGeometry(unit=unit, pairs=pairs)


def test_a_gpu_without_mig_is_one_counter_of_one() -> None:
    node = slotted("dgx-1v")
    assert counters_of_gpu(5, node.gpus[5]) == {"g5p0": 1}
