"""What Partita can offer of each GPU, were all of it asked for."""

from __future__ import annotations

from collections.abc import Mapping

from partita_driver.doctor.facts import GpuFacts, NodeFacts
from partita_driver.doctor.findings import Finding, Weight
from partita_driver.slices.described import EVERYTHING
from partita_plugins.model.offer import DeviceKind, OfferedDevice, SlottedHardware, offered_devices, shape_of


def can_offer(facts: NodeFacts, found: tuple[Finding, ...]) -> Mapping[str, tuple[str, ...]]:
    """By GPU: kinds of devices and, after "mig", shapes of partitions; nothing of a GPU or node that is blocked."""
    if facts.hardware is None:
        return {}
    node = SlottedHardware(hardware=facts.hardware, slots=tuple(range(len(facts.hardware.gpus))))
    blocked = {finding.about for finding in found if finding.weight is Weight.BLOCKS}
    devices = offered_devices(node, EVERYTHING)
    return {
        gpu.gpu.uuid: ()
        if blocked & {"node", gpu.gpu.pci_bus_id}
        else _kinds([device for device in devices if slot in device.slots], gpu)
        for slot, gpu in enumerate(facts.gpus)
    }


def _kinds(devices: list[OfferedDevice], facts: GpuFacts) -> tuple[str, ...]:
    taken = [one.placement for one in facts.unowned]
    shapes: dict[str, None] = {}
    kinds: dict[str, None] = {}
    for device in devices:
        if device.kind is DeviceKind.MIG and device.profile and device.placement:
            if not any(device.placement.overlaps(placement) for placement in taken):
                shapes[shape_of(device.profile)] = None
        elif not taken and (name := _NAMES.get(device.kind)):
            kinds[name] = None
    return (*kinds, *((f"mig {' '.join(sorted(shapes))}",) if shapes else ()))


_NAMES = {DeviceKind.GPU: "whole", DeviceKind.SHARED: "shared", DeviceKind.GROUP: "in groups"}
