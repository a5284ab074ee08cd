"""What the name of a published device stands for on a node's hardware as it is, offered or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from partita_plugins.errors import InvalidInput
from partita_plugins.model.offer import DeviceKind, Offer, OfferedDevice, SlottedHardware, offered_devices
from partita_plugins.wire.device_names import MONITOR_NAME, format_name, parse_name

EVERYTHING = Offer(
    whole=True,
    mig_shapes=frozenset({"1g", "1g-double", "2g", "3g", "4g", "7g"}),
    shared=True,
    group_sizes=frozenset({2, 4, 8}),
    monitor=True,
)


@lru_cache(maxsize=2)
def all_devices(node: SlottedHardware) -> Mapping[str, OfferedDevice]:
    """Everything that a node could offer, by name."""
    return {format_name(device, node.gpus): device for device in offered_devices(node, EVERYTHING)}


def described_device(name: str, node: SlottedHardware) -> OfferedDevice | None:
    """What a device's name stands for on the hardware as it is, offered or not; None where that is not there."""
    if device := all_devices(node).get(name):
        return device
    # A group that was paired when other GPUs were there.
    slots = slots_of(name, node)
    return OfferedDevice(kind=DeviceKind.GROUP, slots=slots) if len(slots) > 1 and answers(name, node) else None


def lost_members(names: Iterable[str], node: SlottedHardware) -> frozenset[tuple[int, None]]:
    """What is left of groups that cannot be described, because some of their GPUs are not there."""
    gone = [name for name in names if described_device(name, node) is None]
    return frozenset((slot, None) for name in gone for slot in slots_of(name, node) if slot in node.gpus)


def answers(name: str, node: SlottedHardware) -> bool:
    """Whether all GPUs of a published device were there when the node was last looked at. A monitor needs none."""
    if name == MONITOR_NAME:
        return True
    slots = slots_of(name, node)
    return bool(slots) and set(slots) <= node.gpus.keys()


def slots_of(name: str, node: SlottedHardware) -> tuple[int, ...]:
    """The GPUs that a device's name tells of; none where its GPU is not there, or where the name is not ours."""
    try:
        parsed = parse_name(name)
    except InvalidInput:
        return ()
    return parsed.slots or tuple(slot for slot, gpu in node.gpus.items() if gpu.pci_label == parsed.pci_label)
