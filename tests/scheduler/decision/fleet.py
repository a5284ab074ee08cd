"""Clusters for tests: machines of the catalog published as the driver publishes them, claims, pods, allocations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec

from partita_plugins.backends.catalog import machine
from partita_plugins.model.offer import Offer, SlottedHardware, offered_devices
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.objects import ObjectMeta, Taint
from partita_plugins.wire.offer import encode_counter_sets, encode_device, split_slices
from partita_plugins.wire.resource_claim import (
    Allocation,
    AllocationResult,
    DeviceAllocation,
    DeviceClass,
    ResourceClaim,
    ResourceClaimStatus,
)
from partita_plugins.wire.resource_slice import Device, Pool, ResourceSlice, ResourceSliceSpec
from partita_scheduler.cluster.view import ClusterView, Node, NodeStatus, Pod
from partita_scheduler.policy.row import Verdict

TYPE = f'device.attributes["{DRIVER_NAME}"].type'
SHAPE = f'device.attributes["{DRIVER_NAME}"].shape'
MIXED = Offer(mig_shapes=frozenset({"1g", "2g", "3g", "4g", "7g"}), shared=True)
NAMESPACE = "default"


def device_class(name: str, expression: str, **more: Any) -> DeviceClass:
    spec = {"selectors": [{"cel": {"expression": expression}}], **more}
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, DeviceClass)


CLASSES = {
    one.metadata.name: one
    for one in (
        device_class(DRIVER_NAME, f'{TYPE} == "gpu"', extendedResourceName="nvidia.com/gpu"),
        device_class(f"shared.{DRIVER_NAME}", f'{TYPE} == "shared"'),
        device_class(f"pair.{DRIVER_NAME}", f'{TYPE} == "group"'),
        device_class(f"monitor.{DRIVER_NAME}", f'{TYPE} == "monitor"'),
        device_class(f"any.{DRIVER_NAME}", f'device.driver == "{DRIVER_NAME}"'),
        *(
            device_class(f"mig-{shape}.{DRIVER_NAME}", f'{TYPE} == "mig" && {SHAPE} == "{shape}"')
            for shape in ("1g", "2g", "3g", "4g", "7g")
        ),
    )
}


@cache
def devices(machine_name: str, offer: Offer, seed: str) -> tuple[SlottedHardware, tuple[Device, ...]]:
    hardware = machine(machine_name, seed)
    node = SlottedHardware(hardware=hardware, slots=tuple(range(len(hardware.gpus))))
    return node, tuple(encode_device(device, node) for device in offered_devices(node, offer))


def slices(
    node_name: str, machine_name: str, offer: Offer = MIXED, taints: Mapping[int, Taint] | None = None
) -> tuple[ResourceSlice, ...]:
    """All slices of a node. `taints` by GPU slot."""
    hardware, found = devices(machine_name, offer, node_name)
    tainted = [msgspec.structs.replace(one, taints=[*one.taints, *_taints(one, taints or {})]) for one in found]
    parts = [list(part) for part in split_slices(tainted, 64)]
    pool = Pool(name=pool_name(node_name), resource_slice_count=len(parts) + 1)
    specs = [ResourceSliceSpec(driver=DRIVER_NAME, pool=pool, node_name=node_name, devices=part) for part in parts]
    counters = ResourceSliceSpec(
        driver=DRIVER_NAME, pool=pool, node_name=node_name, shared_counters=encode_counter_sets(hardware)
    )
    return tuple(
        ResourceSlice(metadata=ObjectMeta(name=f"{i:02d}-{node_name}"), spec=spec)
        for i, spec in enumerate([counters, *specs])
    )


def _taints(device: Device, taints: Mapping[int, Taint]) -> list[Taint]:
    slot = device.attributes["slot"].int_ if "slot" in device.attributes else None
    return [taints[slot]] if slot is not None and slot in taints else []


def view(machines: Mapping[str, tuple[ResourceSlice, ...]], *claims: ResourceClaim, minor: int = 36) -> ClusterView:
    return ClusterView(
        nodes={name: Node(metadata=ObjectMeta(name=name), status=NodeStatus()) for name in machines},
        slices=machines,
        classes=CLASSES,
        claims={(one.metadata.namespace, one.metadata.name): one for one in claims},
        server_minor=minor,
    )


def exactly(name: str = "gpu", kind: str = "", **more: Any) -> dict[str, Any]:
    """A request; `kind` is "", "shared" or "mig-3g"."""
    class_name = f"{kind}.{DRIVER_NAME}" if kind else DRIVER_NAME
    return {"name": name, "exactly": {"deviceClassName": class_name, **more}}


def selected(expression: str) -> list[dict[str, Any]]:
    return [{"cel": {"expression": expression}}]


def claim(
    name: str, *requests: dict[str, Any], constraints: Iterable[dict[str, Any]] = (), **annotations: str
) -> ResourceClaim:
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "annotations": annotations}
    spec = {"devices": {"requests": list(requests), "constraints": list(constraints)}}
    return msgspec.convert({"metadata": metadata, "spec": spec}, ResourceClaim)


def pod(*claims: str, uid: str = "pod-1", **more: Any) -> Pod:
    spec = {"resourceClaims": [{"name": name, "resourceClaimName": name} for name in claims], **more}
    return msgspec.convert({"metadata": {"name": uid, "namespace": NAMESPACE, "uid": uid}, "spec": spec}, Pod)


def allocated(of: ResourceClaim, allocation: Allocation) -> ResourceClaim:
    return msgspec.structs.replace(of, status=ResourceClaimStatus(allocation=allocation))


def holding(name: str, node: str, *device_names: str) -> ResourceClaim:
    """A claim that holds devices of a node's pool."""
    results = [
        AllocationResult(request="gpu", driver=DRIVER_NAME, pool=pool_name(node), device=device)
        for device in device_names
    ]
    return allocated(claim(name, exactly()), Allocation(devices=DeviceAllocation(results=results)))


def with_claims(found: ClusterView, *claims: ResourceClaim) -> ClusterView:
    added = {(one.metadata.namespace, one.metadata.name): one for one in claims}
    return replace(found, claims={**found.claims, **added})


def picked(verdict: Verdict) -> dict[str, list[str]]:
    """Device names by claim; fails with the reasons where the node does not fit."""
    assert verdict.allocations is not None, verdict.reasons
    return {
        name: [result.device for result in allocation.devices.results]
        for name, allocation in verdict.allocations.items()
    }
