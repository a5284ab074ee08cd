"""Pools, what is in use and what would be picked, as the node states that scorers judge."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from partita_plugins.contracts import GpuState, NodeState, Outcome, PodShape, ProfileShape
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.quantity import MIB, to_mib
from partita_plugins.wire import DRIVER_NAME, WITHDRAWN_TAINT_KEY
from partita_plugins.wire.resource import Device
from partita_scheduler.allocator.counters import CounterKey
from partita_scheduler.allocator.in_use import NOTHING, PoolUse, Uses
from partita_scheduler.allocator.inputs import InputDevice, InputPool
from partita_scheduler.allocator.result import Pick

_COUNTER = re.compile(r"^g(\d{1,2})p(\d{1,2})$")
_START = re.compile(r"-mig-[^-]+(?:-double)?-\d+-(\d+)$")
_ASKED = re.compile(
    r"\.memory\s*\.\s*(?:isGreaterThan\(\s*quantity\(\s*[\"']([^\"']+)[\"']\s*\)\s*\)"
    r"|compareTo\(\s*quantity\(\s*[\"']([^\"']+)[\"']\s*\)\s*\)\s*>=?)"
)


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


@dataclass(frozen=True, slots=True)
class Cpu:
    """What the pod requests, and what the node has left before it; None where nobody counts."""

    asked_milli: int = 0
    left_milli: int | None = None

    @property
    def after_milli(self) -> int | None:
        return None if self.left_milli is None else max(0, self.left_milli - self.asked_milli)


NOT_COUNTED = Cpu()


def outcome(pools: tuple[InputPool, ...], uses: Uses, picks: Iterable[Pick], cpu: Cpu = NOT_COUNTED) -> Outcome:
    """The node before and after the picks; without GPUs of ours both are empty."""
    chosen = list(picks)
    before: dict[int, GpuState] = {}
    after: dict[int, GpuState] = {}
    taken: list[tuple[Piece, int | None]] = []
    for p, pool in enumerate(pools):
        found = layout(pool)
        if found is None:
            continue
        here = [pick for pick in chosen if pick.pool == p]
        use = uses.get(pool.id, NOTHING)
        before |= _occupied(found, use, [])
        after |= _occupied(found, use, here)
        for pick in here:
            piece = found.pieces[pick.device]
            if piece and piece.units.keys() <= found.gpus.keys():
                shared = pick.consumed is not None
                taken.append((piece, _granted_mib(pool.devices[pick.device].raw, pick) if shared else None))
    granted = [_granted_mib(pools[pick.pool].devices[pick.device].raw, pick) for pick in chosen]
    asked = [asked_mib(pick, mib) for pick, mib in zip(chosen, granted, strict=True)]
    return Outcome(
        before=NodeState(gpus=before, cpu_milli=cpu.left_milli),
        after=NodeState(gpus=after, cpu_milli=cpu.after_milli),
        slots=tuple(sorted({slot for piece, _ in taken for slot in piece.units})),
        whole=tuple(sorted({slot for piece, _ in taken if piece.whole for slot in piece.units})),
        asked_mib=sum(asked),
        granted_mib=sum(granted),
        pod=pod_shape(taken, cpu_milli=cpu.asked_milli),
    )


def pod_shape(
    taken: Iterable[tuple[Piece, int | None]], *, cpu_milli: int, products: frozenset[str] = frozenset()
) -> PodShape:
    """The shape of a pod that takes these pieces; of a shared one so many MiB."""
    pieces = list(taken)
    shares = [1000 * mib // max(1, piece.memory_mib) for piece, mib in pieces if mib is not None]
    return PodShape(
        cpu_milli=cpu_milli,
        gpus=len({slot for piece, _ in pieces for slot in piece.units}),
        gpu_milli=max(shares) if pieces and len(shares) == len(pieces) else 1000,
        partition=max((piece.shape for piece, _ in pieces if piece.kind is DeviceKind.MIG), default=""),
        products=products,
    )


def asked_mib(pick: Pick, granted_mib: int) -> int:
    """What the request asked for, from its capacity or its selectors; where it says nothing, what it gets."""
    for name, value in pick.request.capacities:
        if name.rpartition("/")[2] == "memory":
            return int(value / MIB)
    found = [match[1] or match[2] for one in pick.request.own_selectors for match in _ASKED.finditer(one.expression)]
    return min(granted_mib, max(map(to_mib, found))) if found else granted_mib


def _granted_mib(device: Device, pick: Pick) -> int:
    if pick.consumed is not None:
        return int(next((value for name, value in pick.consumed if name.rpartition("/")[2] == "memory"), 0) / MIB)
    return to_mib(device.capacity["memory"].value) if "memory" in device.capacity else 0


def _occupied(found: Layout, use: PoolUse, picks: list[Pick]) -> dict[int, GpuState]:
    """GPUs with everything taken that is in use or picked."""
    taken: dict[int, set[int]] = {}
    shared: dict[int, int] = {}
    held = [found.by_name[name] for name in (*use.whole, *use.shares) if name in found.by_name]
    for index in (*held, *(pick.device for pick in picks)):
        piece = found.pieces[index]
        for slot, units in piece.units.items() if piece else ():
            taken.setdefault(slot, set()).update(units)
    for name, used in use.shares.items():
        _share(found, shared, found.by_name.get(name), used.get("memory", Decimal(0)))
    for pick in picks:
        if pick.consumed is not None:
            _share(found, shared, pick.device, dict(pick.consumed).get("memory", Decimal(0)))
    return {slot: _with(gpu, taken.get(slot), shared.get(slot)) for slot, gpu in found.gpus.items()}


def _share(found: Layout, shared: dict[int, int], index: int | None, used: Decimal) -> None:
    piece = found.pieces[index] if index is not None else None
    for slot in piece.units if piece else ():
        free = shared.get(slot, piece.memory_mib if piece else 0)
        shared[slot] = max(0, free - int(used / MIB))


def _with(gpu: GpuState, taken: set[int] | None, shared_free_mib: int | None) -> GpuState:
    if not taken:
        return gpu
    return GpuState(
        memory_mib=gpu.memory_mib,
        nvlinks=gpu.nvlinks,
        pcie=gpu.pcie,
        nvlink_gbps=gpu.nvlink_gbps,
        profiles=gpu.profiles,
        units=gpu.units,
        taken=frozenset(taken),
        shared_free_mib=shared_free_mib,
        product=gpu.product,
    )


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
