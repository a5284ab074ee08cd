"""What the API server still knows of a node whose journal was lost: slots and quarantines, read from its slices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from partita_driver.health.classes import cure_of
from partita_driver.health.faults import Fault
from partita_plugins.errors import InvalidInput
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind, SlottedHardware
from partita_plugins.wire import FAULT_TAINT_KEY
from partita_plugins.wire.device_names import DeviceName, parse_name
from partita_plugins.wire.objects import Taint
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_plugins.wire.resource_slice import Device

_COUNTER = re.compile(r"g(?P<slot>\d{1,3})p\d{1,2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The API server's word on one node."""

    devices: tuple[Device, ...] = ()
    """As they are published now, of all the node's slices."""

    claims: tuple[ResourceClaim, ...] = ()
    """Every claim of the cluster: one that is not here is gone."""


def published_slots(devices: Iterable[Device]) -> dict[str, int]:
    """PCI address to slot, from the counters that devices of one GPU consume: these must never change."""
    slots: dict[str, int] = {}
    for device, name in _parsed(devices):
        given = {
            int(found["slot"])
            for consumed in device.consumes_counters
            for counter in consumed.counters
            if (found := _COUNTER.fullmatch(counter))
        }
        if name.pci_label and len(given) == 1:
            slots[pci_address(name.pci_label)] = given.pop()
    return slots


def published_faults(devices: Iterable[Device], node: SlottedHardware) -> tuple[Fault, ...]:
    """The quarantines behind the taints, never less than there were: on the parts that no healthy partition covers.

    Where the parts cannot be told, or are no place for a partition that could be validated, all of the GPU is faulty.
    """
    parsed = list(_parsed(devices))
    gpus = {gpu.pci_label: gpu for gpu in node.hardware.gpus}
    address_of = {slot: address for address, slot in published_slots(device for device, _ in parsed).items()}
    address_of |= {slot: gpu.pci_bus_id for slot, gpu in node.gpus.items()}
    uuid_at = {gpu.pci_bus_id: gpu.uuid for gpu in node.hardware.gpus}
    known = {name.pci_label for _, name in parsed if name.pci_label}
    faults: dict[tuple[object, ...], Fault] = {}
    for label in sorted(known):
        of_gpu = [(device, name) for device, name in parsed if name.pci_label == label]
        for fault in _faults_of_gpu(label, of_gpu, gpus.get(label)):
            faults.setdefault(fault.key, fault)
    for device, name in parsed:
        # Where no device of a single GPU has the fault of a group, any member may be the faulty one.
        members = {address_of[slot] for slot in name.slots if slot in address_of}
        for taint in _fault_taints(device):
            told = {fault.pci_bus_id for fault in faults.values() if fault.reason == taint.value}
            for address in members - {pci_address(label) for label in known} if told & members else members:
                fault = _fault(taint, address, uuid_at.get(address, address), None)
                faults.setdefault(fault.key, fault)
    return tuple(faults.values())


def pci_address(label: str) -> str:
    """The PCI address that a device name spells as a DNS label."""
    domain, bus, device, function = label.split("-")
    return f"{domain}:{bus}:{device}.{function}"


def _faults_of_gpu(label: str, devices: list[tuple[Device, DeviceName]], gpu: Gpu | None) -> Iterator[Fault]:
    told = {(taint.value, taint.effect): taint for device, _ in devices for taint in _fault_taints(device)}
    uuid = gpu.uuid if gpu else _published_uuid(devices) or pci_address(label)
    healthy = {
        part for device, name in devices if not _fault_taints(device) for part in range(*_span(name, gpu) or (0,))
    }
    for taint in told.values():
        mine = {
            part
            for device, name in devices
            if any((one.value, one.effect) == (taint.value, taint.effect) for one in _fault_taints(device))
            for part in range(*_span(name, gpu) or (0,))
        }
        parts = _runs(sorted(mine - healthy))
        whole = not healthy or not parts or not all(_is_place(part, gpu) for part in parts)
        for part in (None,) if whole else parts:
            yield _fault(taint, pci_address(label), uuid, part)


def _span(name: DeviceName, gpu: Gpu | None) -> tuple[int, int] | None:
    """First memory slice of a partition, and the one after its last; None where that is not known."""
    for profile in gpu.mig.profiles if gpu and gpu.mig and name.kind is DeviceKind.MIG else ():
        if profile.profile_id == name.profile_id and name.start is not None:
            return name.start, name.start + profile.size
    return None


def _is_place(part: Placement, gpu: Gpu | None) -> bool:
    return any(part in profile.placements for profile in (gpu.mig.profiles if gpu and gpu.mig else ()))


def _runs(parts: list[int]) -> list[Placement]:
    """Numbers in a row as one part each."""
    rows = groupby(enumerate(parts), key=lambda entry: entry[1] - entry[0])
    return [Placement(row[0][1], len(row)) for row in (list(entries) for _, entries in rows)]


def _published_uuid(devices: Iterable[tuple[Device, DeviceName]]) -> str:
    return next((device.attributes["uuid"].string or "" for device, _ in devices if "uuid" in device.attributes), "")


def _fault_taints(device: Device) -> list[Taint]:
    return [taint for taint in device.taints if taint.key == FAULT_TAINT_KEY]


def _fault(taint: Taint, address: str, gpu_uuid: str, part: Placement | None) -> Fault:
    return Fault(
        gpu_uuid=gpu_uuid,
        reason=taint.value,
        message=f"it was quarantined ({taint.value}) before the driver's journal was lost",
        start=part.start if part else None,
        size=part.size if part else None,
        since=datetime.fromisoformat(taint.time_added).timestamp() if isinstance(taint.time_added, str) else 0.0,
        pci_bus_id=address,
        effect="NoExecute" if taint.effect == "NoExecute" else "NoSchedule",
        cure=cure_of(taint.value),
    )


def _parsed(devices: Iterable[Device]) -> Iterator[tuple[Device, DeviceName]]:
    for device in devices:
        try:
            yield device, parse_name(device.name)
        except InvalidInput:
            continue
