"""The fleet as values: node, GPU, what is taken of it and by whose pod. Pure: from slices and claims alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from partita_plugins.errors import InvalidInput
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.quantity import format_mib, to_mib
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.device_names import DeviceName, parse_name
from partita_plugins.wire.resource_claim import AllocationResult, ResourceClaim
from partita_plugins.wire.resource_slice import Device, ResourceSlice
from partita_scheduler.cluster.taint_rules import RuleTaint, told
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.kubectl.cells import cells_of, used_cells, withdrawn

Taken = tuple[ResourceClaim, AllocationResult]


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a GPU that somebody has."""

    device: str
    what: str
    """ "whole", "3g at 4", "shared 10Gi", "group of 2", "monitor"."""

    claim: str
    pods: tuple[str, ...]


class GpuMap(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU."""

    slot: int
    pci: str = ""
    product: str = ""
    memory: str = ""
    units: int = 0
    """Cells of the axis that partitions are cut from."""

    used: tuple[int, ...] = ()
    """Cells in use."""

    taints: tuple[str, ...] = ()
    holdings: tuple[Holding, ...] = ()


class NodeMap(msgspec.Struct, frozen=True, kw_only=True):
    """One node with devices of ours."""

    name: str
    gpus: tuple[GpuMap, ...]
    monitors: tuple[Holding, ...] = ()
    """Who looks at all of them, and holds none."""


def fleet(view: ClusterView) -> tuple[NodeMap, ...]:
    """All nodes that publish devices, by name."""
    taken: dict[tuple[str, str], list[Taken]] = {}
    for claim in view.claims.values():
        for result in claim.status.allocation.devices.results if claim.status.allocation else []:
            if result.driver == DRIVER_NAME:
                taken.setdefault((result.pool, result.device), []).append((claim, result))
    nodes = ((node, [one for one in slices if one.spec.driver == DRIVER_NAME]) for node, slices in view.slices.items())
    return tuple(
        NodeMap(name=node, gpus=_gpus(ours, taken), monitors=_monitors(ours, taken))
        for node, ours in sorted(nodes)
        if node and ours
    )


def _monitors(slices: list[ResourceSlice], taken: Mapping[tuple[str, str], list[Taken]]) -> tuple[Holding, ...]:
    published = [(one.spec.pool.name, device) for one in slices for device in one.spec.devices]
    return tuple(
        _holding(device, name, claim, result)
        for pool, device in published
        if (name := _parsed(device)) and name.kind is DeviceKind.MONITOR
        for claim, result in taken.get((pool, device.name), [])
    )


def _gpus(slices: list[ResourceSlice], taken: Mapping[tuple[str, str], list[Taken]]) -> tuple[GpuMap, ...]:
    published = [device for one in slices for device in one.spec.devices]
    stay = {slot for one in published if not withdrawn(one) for slot in _slots(one, _parsed(one))}
    cells = cells_of(slices, stay)
    found: dict[int, GpuMap] = {}
    for one in slices:
        for device in one.spec.devices:
            name = _parsed(device)
            holders = taken.get((one.spec.pool.name, device.name), [])
            for slot in _slots(device, name):
                known = found.get(slot, GpuMap(slot=slot, units=sum(cells.get(slot, {}).values())))
                add = _with_rest if slot in stay and withdrawn(device) else _with
                found[slot] = add(known, device, name, holders, cells.get(slot, {}))
    return tuple(found[slot] for slot in sorted(found))


def _with_rest(
    gpu: GpuMap, device: Device, name: DeviceName | None, holders: list[Taken], cells: Mapping[int, int]
) -> GpuMap:
    """With a device that goes as soon as nobody has it. The GPU stays, or is another one by now."""
    held = [_holding(device, name, claim, result) for claim, result in holders]
    rest = tuple(msgspec.structs.replace(one, what=f"{one.what}, withdrawn") for one in held)
    used = used_cells(device, name, gpu.slot, cells) if holders else set()
    return msgspec.structs.replace(gpu, used=tuple(sorted({*gpu.used, *used})), holdings=gpu.holdings + rest)


def _with(
    gpu: GpuMap, device: Device, name: DeviceName | None, holders: list[Taken], cells: Mapping[int, int]
) -> GpuMap:
    taints = (
        f"{told(taint)} (rule {taint.rule})" if isinstance(taint, RuleTaint) else told(taint) for taint in device.taints
    )
    product = device.attributes.get("product")
    whole = name is not None and name.kind in (DeviceKind.GPU, DeviceKind.SHARED)
    used = used_cells(device, name, gpu.slot, cells) if holders else set()
    return msgspec.structs.replace(
        gpu,
        pci=gpu.pci or (name.pci_label if name else ""),
        product=gpu.product or str(product.value if product else ""),
        memory=gpu.memory or (_memory(device) if whole else ""),
        used=tuple(sorted({*gpu.used, *used})),
        taints=tuple(dict.fromkeys([*gpu.taints, *taints])),
        holdings=gpu.holdings + tuple(_holding(device, name, claim, result) for claim, result in holders),
    )


def _holding(device: Device, name: DeviceName | None, claim: ResourceClaim, result: AllocationResult) -> Holding:
    namespace = claim.metadata.namespace
    return Holding(
        device=device.name,
        what=_what(name, result) if name else device.name,
        claim=f"{namespace}/{claim.metadata.name}",
        pods=tuple(f"{namespace}/{user.name}" for user in claim.status.reserved_for if user.resource == "pods"),
    )


def _what(name: DeviceName, result: AllocationResult) -> str:
    if name.kind is DeviceKind.MIG:
        return f"{name.shape} at {name.start}"
    if name.kind is DeviceKind.SHARED:
        return f"shared {_plain(result.consumed_capacity.get('memory', ''))}".rstrip()
    if name.kind is DeviceKind.GROUP:
        return f"group of {len(name.slots)}"
    return "monitor" if name.kind is DeviceKind.MONITOR else "whole"


def _slots(device: Device, name: DeviceName | None) -> Iterable[int]:
    if name is not None and name.slots:
        return name.slots
    slot = device.attributes.get("slot")
    return (slot.int_,) if slot is not None and slot.int_ is not None else ()


def _memory(device: Device) -> str:
    found = device.capacity.get("memory")
    return found.value if found else ""


def _plain(quantity: str) -> str:
    try:
        return format_mib(to_mib(quantity)) if quantity else ""
    except InvalidInput:
        return quantity


def _parsed(device: Device) -> DeviceName | None:
    try:
        return parse_name(device.name)
    except InvalidInput:
        return None
