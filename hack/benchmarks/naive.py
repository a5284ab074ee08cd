"""A node's devices as somebody would publish them who does not know what that costs kube-scheduler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from hack.benchmarks.fleet import Json, claim, machine_with, slices
from hack.benchmarks.scheduling import CLAIMS

from partita_plugins.model.offer import Offer
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_slice import MAX_DEVICES_PER_SLICE, AttributeValue, Device, ResourceSlice

EVERYTHING = Offer(mig_shapes=frozenset({"1g", "1g-double", "2g", "3g", "4g", "7g"}))
ORDER = ("1g", "1g-me", "1g-double", "2g", "3g", "4g", "7g", "gpu")
WORDY = ("architecture", "computeCapability", "driverVersion", "cudaVersion", "uuid")
"""What a partition carries of its GPU, beside its own five."""

ANY_MIG = f"any-mig.{DRIVER_NAME}"


def naive_slices(where: str) -> list[ResourceSlice]:
    """All placements profile by profile beginning with 1g, whole GPUs last; partitions carry their GPU's attributes."""
    counters, *rest = slices(where, machine_with(8), EVERYTHING)
    found = [device for one in rest for device in one.spec.devices]
    whole = {device.name: device for device in found if _kind(device) == "gpu"}
    devices = sorted((wordy for device in found for wordy in _wordy(device, whole)), key=_place)
    parts = [devices[first : first + MAX_DEVICES_PER_SLICE] for first in range(0, len(devices), MAX_DEVICES_PER_SLICE)]
    pool = msgspec.structs.replace(counters.spec.pool, resource_slice_count=1 + len(parts))
    return [
        msgspec.structs.replace(
            counters,
            metadata=ObjectMeta(name=f"{number:02d}-{DRIVER_NAME}-{where}"),
            spec=msgspec.structs.replace(
                counters.spec, pool=pool, shared_counters=[] if part else counters.spec.shared_counters, devices=part
            ),
        )
        for number, part in enumerate([[], *parts])
    ]


def naive_wish(wish: str) -> Json | None:
    """A request for it there: one class for partitions, and a selector for the profile."""
    if wish == "gpu":
        return CLAIMS[wish]
    expression = f"device.attributes['{DRIVER_NAME}'].shape == '{wish.removeprefix('mig-')}'"
    return claim("", 1, ANY_MIG, selectors=[{"cel": {"expression": expression}}])


def any_mig_class() -> Json:
    """The one class for partitions."""
    expression = f"device.driver == '{DRIVER_NAME}' && device.attributes['{DRIVER_NAME}'].type == 'mig'"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": ANY_MIG},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }


def _kind(device: Device) -> str:
    shape = device.attributes.get("shape")
    return (shape.string if shape else device.attributes["type"].string) or ""


def _place(device: Device) -> int:
    return ORDER.index(_kind(device))


def _wordy(device: Device, whole: Mapping[str, Device]) -> Iterator[Device]:
    """The device, and beside a 1g the same with media engines (1g+me), which the driver never offers."""
    if _kind(device) == "gpu":
        yield device
        return
    gpu = next(found for name, found in whole.items() if device.name.startswith(f"{name}-mig-"))
    attributes = {**device.attributes, **{name: gpu.attributes[name] for name in WORDY}}
    yield msgspec.structs.replace(device, attributes=attributes)
    if _kind(device) == "1g":
        profile = AttributeValue(string=f"{attributes['profile'].string}+me")
        media = {"profile": profile, "shape": AttributeValue(string="1g-me")}
        yield msgspec.structs.replace(
            device, name=device.name.replace("-mig-1g-", "-mig-1g-me-"), attributes={**attributes, **media}
        )
