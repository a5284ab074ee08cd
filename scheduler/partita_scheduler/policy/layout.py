"""Pools of ours as geometry: where on its GPU each device lives, and what a GPU is with nothing taken."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace

from partita_plugins.contracts import GpuState, ProfileShape
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.quantity import to_mib
from partita_plugins.wire import DRIVER_NAME, WITHDRAWN_TAINT_KEY
from partita_scheduler.allocator.counters import CounterKey
from partita_scheduler.allocator.inputs import InputDevice, InputPool

_COUNTER = re.compile(r"^g(\d{1,2})p(\d{1,2})$")
_START = re.compile(r"-mig-[^-]+(?:-double)?-\d+-(\d+)$")
_KINDS = frozenset(DeviceKind)


@dataclass(frozen=True, slots=True)
class Piece:
    """Where one device lives: units of its GPU, by slot."""

    kind: DeviceKind
    shape: str
    units: dict[int, frozenset[int]]
    memory_mib: int

    @property
    def whole(self) -> bool:
        """Whether it is all of its GPUs."""
        return self.kind in {DeviceKind.GPU, DeviceKind.GROUP}


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One pool of ours as geometry."""

    pieces: tuple[Piece | None, ...]
    """For each device of the pool; None for one that is not understood."""

    by_name: dict[str, int]
    gpus: dict[int, GpuState]
    """With nothing taken."""

    _known: dict[Hashable, GpuState] = field(default_factory=dict)
    _uses: dict[Hashable, Mapping[int, GpuState]] = field(default_factory=dict)

    def remembered(self, use: Hashable, make: Callable[[], Mapping[int, GpuState]]) -> Mapping[int, GpuState]:
        """The GPUs in a use, made once: every kind of question is about the same machines."""
        found = self._uses.get(use)
        if found is None:
            if len(self._uses) >= MAX_STATES:
                self._uses.clear()
            found = self._uses[use] = make()
        return found

    def gpu_with(self, slot: int, taken: frozenset[int], shared_free_mib: int | None) -> GpuState:
        """A GPU of which something is taken: one object for equal ones, of which a fleet has many."""
        key = (slot, taken, shared_free_mib)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_STATES:
                self._known.clear()
            found = replace(self.gpus[slot], taken=taken, shared_free_mib=shared_free_mib)
            self._known[key] = found
        return found


MAX_STATES = 5_000
"""Of the GPUs of one layout, of which eight with MIG have some 1,500, and of whole machines."""

MAX_LAYOUTS = 1_000
"""Each some 90 KB."""

_layouts: dict[int, Layout] = {}
"""By shape: equal machines have one."""


def layout(pool: InputPool) -> Layout | None:
    """The geometry of a pool of ours; None for another driver's."""
    if pool.id.driver != DRIVER_NAME or not pool.usable:
        return None
    found = _layouts.get(pool.shape)
    if found is None:
        if len(_layouts) >= MAX_LAYOUTS:
            _layouts.clear()
        found = _layouts[pool.shape] = _layout(pool)
    return found


def _layout(pool: InputPool) -> Layout:
    sizes: dict[int, int] = {}
    strays = _strays(pool.devices)
    for key, total in pool.totals.items():
        if key not in strays and (found := _COUNTER.match(key[1])):
            sizes[int(found[1])] = sizes.get(int(found[1]), 0) + int(total)
    unit = _unit(pool.devices)
    pieces = tuple(_piece(device, sizes, unit) for device in pool.devices)
    gpus = {slot: _gpu(slot, size, pool.devices, pieces) for slot, size in sizes.items()}
    return Layout(pieces, {device.name: i for i, device in enumerate(pool.devices)}, gpus)


def _strays(devices: tuple[InputDevice, ...]) -> set[CounterKey]:
    """Counters of withdrawn devices alone: the GPU that has their slot now may be a smaller one."""
    held = {key for device in devices if _withdrawn(device) for key, _ in device.consumption}
    return held - {key for device in devices if not _withdrawn(device) for key, _ in device.consumption}


def _withdrawn(device: InputDevice) -> bool:
    return any(taint.key == WITHDRAWN_TAINT_KEY for taint in device.raw.taints)


def _unit(devices: tuple[InputDevice, ...]) -> int:
    """Memory slices per unit of the placement axis: a partition's first pair of units tells where its start is."""
    for device in devices:
        found = _START.search(device.name)
        numbers = [int(match[2]) for (_, name), _ in device.consumption if (match := _COUNTER.match(name))]
        if found and numbers and min(numbers) and int(found[1]) % (2 * min(numbers)) == 0:
            return max(1, int(found[1]) // (2 * min(numbers)))
    return 1


def _piece(device: InputDevice, sizes: dict[int, int], unit: int) -> Piece | None:
    kind = device.raw.attributes.get("type")
    if kind is None or kind.string not in _KINDS:
        return None
    consumed: dict[int, int] = {}
    for (_, name), value in device.consumption:
        if found := _COUNTER.match(name):
            consumed[int(found[1])] = consumed.get(int(found[1]), 0) + int(value)
    units = {slot: frozenset(range(sizes.get(slot, 1))) for slot in consumed}
    if start := _START.search(device.name):
        first = int(start[1]) // unit
        units = {slot: frozenset(range(first, first + size)) for slot, size in consumed.items()}
    memory = device.raw.capacity.get("memory")
    shape = device.raw.attributes.get("shape")
    return Piece(
        DeviceKind(kind.string),
        str(shape.value) if shape else kind.string,
        units,
        to_mib(memory.value) if memory else 0,
    )


def _gpu(slot: int, size: int, devices: tuple[InputDevice, ...], pieces: tuple[Piece | None, ...]) -> GpuState:
    starts: dict[tuple[int, str], set[int]] = {}
    memory, nvlinks, pcie, gbps, product = 0, "", "", 0, ""
    for device, piece in zip(devices, pieces, strict=True):
        if piece is None or set(piece.units) != {slot} or _withdrawn(device):
            continue  # Another GPU may have a withdrawn one's slot by now.
        memory = max(memory, piece.memory_mib)
        if piece.kind is not DeviceKind.SHARED and piece.units[slot]:
            starts.setdefault((len(piece.units[slot]), piece.shape), set()).add(min(piece.units[slot]))
        attributes = device.raw.attributes
        product = (attributes["product"].string or "" if "product" in attributes else "") or product
        if piece.kind is DeviceKind.GPU:
            nvlinks = attributes["nvlinks"].string or "" if "nvlinks" in attributes else ""
            pcie = attributes["pcie"].string or "" if "pcie" in attributes else ""
            gbps = attributes["nvlinkGbps"].int_ or 0 if "nvlinkGbps" in attributes else 0
    if any(length == size and shape != DeviceKind.GPU for length, shape in starts):
        starts.pop((size, DeviceKind.GPU), None)  # One kind for all units is enough: each kind weighs the same.
    return GpuState(
        memory_mib=memory,
        nvlinks=tuple(int(cell) for cell in nvlinks.split(",") if cell.isdigit()),
        pcie=pcie,
        nvlink_gbps=gbps,
        profiles=tuple(
            ProfileShape(shape=shape, starts=tuple(sorted(found)), size=length)
            for (length, shape), found in sorted(starts.items(), reverse=True)
        ),
        units=size,
        product=product,
    )
