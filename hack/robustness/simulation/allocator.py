"""What kube-scheduler's allocator does, as far as the driver can tell: the first published device that fits.

It goes by the slices as a watch shows them, late, and by every allocation in the API, its own at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec
from hack.robustness.observation import is_tainted
from hack.robustness.simulation.api import Server
from hack.robustness.simulation.node import NODE

from partita_plugins.model.quantity import to_mib
from partita_plugins.wire import DRIVER_NAME, VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION, pool_name
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_claim import (
    Allocation,
    AllocationResult,
    ConsumerReference,
    DeviceAllocation,
    DeviceConfig,
    OpaqueConfig,
    ResourceClaim,
    ResourceClaimStatus,
)
from partita_plugins.wire.resource_slice import CounterConsumption, Device, ResourceSlice

SHARE = "10Gi"
"""Of a shared GPU's memory, for every claim that wants a share."""


class Scheduler:
    """Allocates claims on the one node."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._slices: dict[str, ResourceSlice] = {}
        self._devices: dict[str, Device] = {}
        """Every device that was ever published: what is allocated counts also when its slice is gone."""

    def see(self, old: ResourceSlice | None, new: ResourceSlice | None) -> None:
        """A change as the watch tells it."""
        if new:
            self._slices[new.metadata.name] = new
            self._devices.update({device.name: device for device in new.spec.devices})
        elif old:
            self._slices.pop(old.metadata.name, None)

    def claim(self, wish: str, namespace: str, name: str, *, waits: bool = False) -> ResourceClaim | None:
        """A new claim with the device that it is allocated; None where nothing fits.

        With `waits` its pod is bound only once the device is validated.
        """
        claims = list(self._server.claims.values())
        held = {one.device: self._devices[one.device] for one in results(claims)}
        device = allocate(wish, complete_pool(self._slices), capacity_of(self._slices), held, claims)
        if device is None:
            return None
        kind, _, interval = wish.partition(":")
        result = AllocationResult(
            request="gpu",
            driver=DRIVER_NAME,
            pool=pool_name(NODE),
            device=device.name,
            share_id=self._server.uid() if kind == "shared" else None,
            consumed_capacity={"memory": SHARE} if kind == "shared" else {},
            admin_access=True if kind == "monitor" else None,
            binding_conditions=[VALIDATED_CONDITION] if waits else [],
            binding_failure_conditions=[VALIDATION_FAILED_CONDITION] if waits else [],
        )
        config = [time_slice(interval)] if interval else []
        uid = self._server.uid()
        status = ResourceClaimStatus(
            allocation=Allocation(devices=DeviceAllocation(results=[result], config=config)),
            reserved_for=[ConsumerReference(resource="pods", name=name, uid=f"pod-{uid}")],
        )
        return ResourceClaim(metadata=ObjectMeta(name=name, namespace=namespace, uid=uid), status=status)


def complete_pool(slices: Mapping[str, ResourceSlice]) -> list[Device]:
    """The devices of the newest generation in list order; none while it is incomplete."""
    newest = max((entry.spec.pool.generation for entry in slices.values()), default=0)
    kept = [entry for _, entry in sorted(slices.items()) if entry.spec.pool.generation == newest]
    if not kept or len(kept) != kept[0].spec.pool.resource_slice_count:
        return []
    return [device for entry in kept for device in entry.spec.devices]


def capacity_of(slices: Mapping[str, ResourceSlice]) -> Counter[str]:
    """Totals of all counters."""
    return Counter(
        {
            name: int(counter.value)
            for entry in slices.values()
            for counters in entry.spec.shared_counters
            for name, counter in counters.counters.items()
        }
    )


def allocate(
    wish: str,
    devices: Iterable[Device],
    totals: Counter[str],
    held: Mapping[str, Device],
    claims: Iterable[ResourceClaim],
) -> Device | None:
    """The first device of that kind that fits beside `held`; None where there is none.

    A wish is "gpu", "shared", "group", "monitor", or a shape of partition such as "3g"; "shared:Long" also wants a time
    slice. The monitor is asked for with admin access, and its taint tolerated.
    """
    wish = wish.partition(":")[0]
    left = totals.copy()
    for device in held.values():
        left.subtract(_consumed(device.consumes_counters))
    for device in devices:
        if not _is(device, wish) or is_tainted(taint.key for taint in device.taints):
            continue
        if wish == "monitor":
            return device
        if device.name in held:
            if wish == "shared" and _memory_left(device, claims) >= to_mib(SHARE):
                return device
            continue
        if all(left[name] >= count for name, count in _consumed(device.consumes_counters).items()):
            return device
    return None


def time_slice(interval: str) -> DeviceConfig:
    """The claim's wish for a time slice, as an allocation carries it."""
    parameters = {"apiVersion": f"{DRIVER_NAME}/v1alpha1", "kind": "GpuConfig", "timeSlice": interval}
    opaque = OpaqueConfig(driver=DRIVER_NAME, parameters=msgspec.Raw(msgspec.json.encode(parameters)))
    return DeviceConfig(source="FromClaim", opaque=opaque)


def _is(device: Device, wish: str) -> bool:
    kind = device.attributes["type"].value
    return kind == wish or (kind == "mig" and f"-mig-{wish}-" in device.name)


def _consumed(consumption: Iterable[CounterConsumption]) -> dict[str, int]:
    return {name: int(value.value) for one in consumption for name, value in one.counters.items()}


def _memory_left(device: Device, claims: Iterable[ResourceClaim]) -> int:
    used = sum(to_mib(one.consumed_capacity["memory"]) for one in results(claims) if one.device == device.name)
    return to_mib(device.capacity["memory"].value) - used


def results(claims: Iterable[ResourceClaim]) -> list[AllocationResult]:
    """All devices that claims hold."""
    return [
        one
        for claim in claims
        if claim.status.allocation
        for one in claim.status.allocation.devices.results
        if one.driver == DRIVER_NAME
    ]
