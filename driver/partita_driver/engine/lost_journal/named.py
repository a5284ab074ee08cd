"""Devices that are known by their name alone: the journal was lost, and their GPU has not answered since.

A name says which GPU a device is on and what it is, but neither the GPU's UUID nor the steps that undo it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from partita_driver.engine.device_records import GpuAbsent, device_by_name
from partita_driver.engine.lost_journal.recall import pci_address
from partita_driver.journal.records import ClaimRecord, DeviceRecord
from partita_plugins.contracts import SharingStrategy
from partita_plugins.errors import InvalidInput
from partita_plugins.model.offer import SlottedHardware
from partita_plugins.wire.device_names import parse_name

GRANTED = (
    "request",
    "share_id",
    "memory_mib",
    "time_slice",
    "mps",
    "active_thread_percentage",
    "admin",
    "cdi_ids",
)
"""What a record says of the grant, and not of the hardware."""


def device_or_name(
    node: SlottedHardware,
    strategies: Mapping[str, SharingStrategy],
    slots: Mapping[str, int],
    name: str,
    **fields: object,
) -> DeviceRecord:
    """A device of the hardware as it is now, or by its name alone where its GPU is not there.

    `slots` are those ever given, by PCI address. Raises InvalidInput where the GPU is there and has no such device.
    """
    try:
        return device_by_name(node, strategies, name, **fields)
    except GpuAbsent:
        return msgspec.structs.replace(_by_name_alone(node, slots, name), **fields)


def seen_again(device: DeviceRecord, node: SlottedHardware, strategies: Mapping[str, SharingStrategy]) -> DeviceRecord:
    """A device in full, if it was known by its name alone and its GPU is there now; else as it is."""
    if not device.named_alone:
        return device
    fields = {name: getattr(device, name) for name in GRANTED}
    try:
        return device_by_name(node, strategies, device.device, **fields)
    except GpuAbsent:
        return device
    except InvalidInput:
        # A GPU of another kind sits in its place: of this device nothing is left, and nothing has to be undone.
        label = parse_name(device.device).pci_label
        there = tuple(slot for slot, gpu in node.gpus.items() if gpu.pci_label == label)
        return msgspec.structs.replace(device, slots=there)


def claim_seen_again(
    claim: ClaimRecord, node: SlottedHardware, strategies: Mapping[str, SharingStrategy]
) -> ClaimRecord:
    """A claim with every device in full whose GPU is there now."""
    devices = tuple(seen_again(device, node, strategies) for device in claim.devices)
    return msgspec.structs.replace(claim, devices=devices)


def _by_name_alone(node: SlottedHardware, slots: Mapping[str, int], name: str) -> DeviceRecord:
    parsed = parse_name(name)
    address_of = {slot: address for address, slot in slots.items()}
    addresses = (
        [pci_address(parsed.pci_label)]
        if parsed.pci_label
        else [address_of.get(slot, f"slot {slot}") for slot in parsed.slots]
    )
    uuid_at = {gpu.pci_bus_id: gpu.uuid for gpu in node.hardware.gpus}
    gpu_uuids = tuple(uuid_at.get(address, address) for address in addresses)
    return DeviceRecord(request="", device=name, kind=parsed.kind, slots=(), gpu_uuids=gpu_uuids)
