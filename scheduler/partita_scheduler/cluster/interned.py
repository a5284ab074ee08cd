"""One object for equal parts of API values: a fleet says the same of its machines and claims thousands of times.

Each pool of equal parts is bounded; when it is full it begins anew, and parts that are in use stay as they are.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeVar

import msgspec

from partita_plugins.wire.resource_claim import Allocation, ResourceClaim
from partita_plugins.wire.resource_slice import Device, ResourceSlice
from partita_scheduler.cluster.view import IDENTITY_ATTRIBUTES

MAX_PARTS = 50_000

T = TypeVar("T")


class Pool:
    """Parts by what they say."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, Any] = {}

    def one(self, key: Hashable, part: T) -> T:
        """The part that came first with this key, which tells all that the part says."""
        if len(self._parts) >= MAX_PARTS:
            self._parts.clear()
        found: T = self._parts.setdefault(key, part)
        return found

    def json(self, part: T) -> T:
        """The same for a part that cannot be a key."""
        return self.one(msgspec.json.encode(part), part)


_devices = Pool()
_texts, _attributes, _capacities, _counters, _specs, _selectors = Pool(), Pool(), Pool(), Pool(), Pool(), Pool()


def slice_parts(found: ResourceSlice) -> ResourceSlice:
    """A slice just decoded, with equal parts of its devices shared; UUIDs stay its own."""
    devices = [_device(device) for device in found.spec.devices]
    counters = _counters.json(found.spec.shared_counters)
    return msgspec.structs.replace(
        found, spec=msgspec.structs.replace(found.spec, devices=devices, shared_counters=counters)
    )


def _device(device: Device) -> Device:
    if not IDENTITY_ATTRIBUTES & device.attributes.keys():
        return _devices.json(device)  # A partition, of which a node has a hundred, is one for all of its kind.
    attributes = {
        name: value if name in IDENTITY_ATTRIBUTES else _attributes.one(value, value)
        for name, value in device.attributes.items()
    }
    return msgspec.structs.replace(
        device,
        name=_texts.one(device.name, device.name),
        attributes=attributes,
        capacity=_capacities.json(device.capacity),
        consumes_counters=_counters.json(device.consumes_counters),
    )


def claim_parts(found: ResourceClaim) -> ResourceClaim:
    """A claim just decoded: claims of one template have one spec, and those of a node one node selector."""
    allocation = found.status.allocation
    status = msgspec.structs.replace(found.status, allocation=_allocation(allocation)) if allocation else found.status
    return msgspec.structs.replace(found, spec=_specs.json(found.spec), status=status)


def _allocation(allocation: Allocation) -> Allocation:
    results = [
        msgspec.structs.replace(
            one,
            request=_texts.one(one.request, one.request),
            driver=_texts.one(one.driver, one.driver),
            pool=_texts.one(one.pool, one.pool),
            device=_texts.one(one.device, one.device),
        )
        for one in allocation.devices.results
    ]
    return msgspec.structs.replace(
        allocation,
        devices=msgspec.structs.replace(allocation.devices, results=results),
        node_selector=_selectors.json(allocation.node_selector),
    )
