"""Cells of a GPU: the memory slices that partitions are cut from, as counters tell of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping

from partita_plugins.wire import WITHDRAWN_TAINT_KEY
from partita_plugins.wire.device_names import DeviceName
from partita_plugins.wire.resource_slice import Device, ResourceSlice

_COUNTER = re.compile(r"^g(\d+)p(\d+)$")
"""Counter of one pair of memory slices: GPU slot, place on the axis."""


def withdrawn(device: Device) -> bool:
    """Whether the device goes as soon as nobody has it."""
    return any(taint.key == WITHDRAWN_TAINT_KEY for taint in device.taints)


def cells_of(slices: Iterable[ResourceSlice], stay: Container[int]) -> dict[int, dict[int, int]]:
    """Slot to place on the axis to the number of cells there.

    `stay` are slots whose GPU stays: what withdrawn devices alone have there is another GPU's that had the slot before.
    """
    every = list(slices)
    devices = [device for one in every for device in one.spec.devices]
    strays = _counters(filter(withdrawn, devices)) - _counters(one for one in devices if not withdrawn(one))
    cells: dict[int, dict[int, int]] = {}
    for counter_set in (found for one in every for found in one.spec.shared_counters):
        for name, counter in counter_set.counters.items():
            match = _COUNTER.match(name)
            if match and not (int(match[1]) in stay and (counter_set.name, name) in strays):
                cells.setdefault(int(match[1]), {})[int(match[2])] = int(counter.value)
    return cells


def _counters(devices: Iterable[Device]) -> set[tuple[str, str]]:
    """What these devices consume, by counter set and counter."""
    return {(used.counter_set, name) for one in devices for used in one.consumes_counters for name in used.counters}


def used_cells(device: Device, name: DeviceName | None, slot: int, cells: Mapping[int, int]) -> set[int]:
    """Cells that a device takes of a GPU. Of a pair that it takes half of, its name says which half."""
    used: set[int] = set()
    for name_of_counter, counter in (item for entry in device.consumes_counters for item in entry.counters.items()):
        match = _COUNTER.match(name_of_counter)
        if match is None or int(match[1]) != slot or int(match[2]) not in cells:
            continue
        first = sum(size for place, size in cells.items() if place < int(match[2]))
        amount, size = int(counter.value), cells[int(match[2])]
        if amount < size and name is not None and name.start is not None:
            first = name.start
        used.update(range(first, first + amount))
    return used
