"""Device names: stable over reboots, and all that is needed to clean a partition up.

gpu-0000-07-00-0                 a whole GPU, by PCI address
gpu-0000-07-00-0-shared          the same GPU, shared
gpu-0000-07-00-0-mig-3g-9-4      its 3g partition: NVML profile id 9, first slice 4
group-2-0-1                      GPUs in slots 0 and 1 together
monitor                          all GPUs of the node, to look at
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from partita_plugins.errors import InvalidInput
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import DeviceKind, OfferedDevice, shape_of

MONITOR_NAME = "monitor"
"""Of a node's one monitor."""

_NAME = re.compile(
    r"gpu-(?P<pci>[0-9a-f]{4,8}-[0-9a-f]{2}-[0-9a-f]{2}-[0-7])"
    r"(?:(?P<shared>-shared)|-mig-(?P<shape>[1-8]g(?:-double)?)-(?P<profile>\d{1,3})-(?P<start>\d{1,2}))?",
    re.ASCII,
)
_GROUP = re.compile(r"group-(?P<size>\d{1,2})(?P<slots>(?:-\d{1,2})+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceName:
    """A parsed device name."""

    kind: DeviceKind
    pci_label: str = ""
    """Of the one GPU; empty for a group and a monitor."""

    slots: tuple[int, ...] = ()
    """Of a group; empty for the rest."""

    shape: str = ""
    profile_id: int | None = None
    start: int | None = None


def format_name(device: OfferedDevice, gpus: Mapping[int, Gpu]) -> str:
    """The name under which a device is published."""
    if device.kind is DeviceKind.MONITOR:
        return MONITOR_NAME
    if device.kind is DeviceKind.GROUP:
        return f"group-{len(device.slots)}-{'-'.join(map(str, device.slots))}"
    name = f"gpu-{gpus[device.slots[0]].pci_label}"
    if device.kind is DeviceKind.SHARED:
        return f"{name}-shared"
    if device.profile and device.placement:
        return f"{name}-mig-{shape_of(device.profile)}-{device.profile.profile_id}-{device.placement.start}"
    return name


def parse_name(name: str) -> DeviceName:
    """The parts of a device name. Raises InvalidInput for a name that Partita never publishes."""
    if name == MONITOR_NAME:
        return DeviceName(kind=DeviceKind.MONITOR)
    if found := _GROUP.fullmatch(name):
        slots = tuple(int(slot) for slot in found["slots"][1:].split("-"))
        if len(slots) == len(set(slots)) == int(found["size"]):
            return DeviceName(kind=DeviceKind.GROUP, slots=slots)
    found = _NAME.fullmatch(name)
    if not found:
        raise InvalidInput(f"{name[:64]!r} is not a device of Partita")
    if found["profile"]:
        return DeviceName(
            kind=DeviceKind.MIG,
            pci_label=found["pci"],
            shape=found["shape"],
            profile_id=int(found["profile"]),
            start=int(found["start"]),
        )
    return DeviceName(kind=DeviceKind.SHARED if found["shared"] else DeviceKind.GPU, pci_label=found["pci"])
