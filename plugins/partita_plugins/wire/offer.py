"""Offered devices as ResourceSlice devices: attributes for choosing, capacity, counters.

Whole GPUs carry what users select on and the node's link matrices; partitions carry little, because kube-scheduler
pays for every attribute of every device on every pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import (
    DeviceKind,
    OfferedDevice,
    SlottedHardware,
    consumed_counters,
    counter_set_of,
    counters_of_gpu,
    shape_of,
)
from partita_plugins.model.quantity import format_mib
from partita_plugins.model.topology import PCIE_LETTERS, Topology
from partita_plugins.wire import MONITOR_TAINT_KEY, VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION
from partita_plugins.wire.device_names import format_name
from partita_plugins.wire.objects import Taint
from partita_plugins.wire.resource_slice import (
    AttributeValue,
    Capacity,
    CounterConsumption,
    CounterSet,
    CounterValue,
    Device,
    RequestPolicy,
    ValidRange,
)

SHARE_STEP_MIB = 256
"""Memory of a shared GPU is granted in these steps."""

SHARE_DEFAULT_FRACTION = 8
"""A claim that names no memory gets one part in eight."""


def encode_device(device: OfferedDevice, node: SlottedHardware, *, binding: bool = False) -> Device:
    """One device as it is published, with the taints that its kind always has and no other.

    With `binding` kube-scheduler waits for the driver's validation (KEP-5007). `bindsToNode` is for devices that become
    local when they are allocated: slices that name their node, as all of ours, bind to it anyway.
    """
    gpus = node.gpus
    waits = binding and device.kind is not DeviceKind.MONITOR
    return Device(
        name=format_name(device, gpus),
        attributes=_ATTRIBUTES[device.kind](device, node),
        capacity=_capacity(device, gpus),
        consumes_counters=[
            CounterConsumption(counter_set=name, counters=_values(counters))
            for name, counters in consumed_counters(device, gpus).items()
        ],
        allow_multiple_allocations=True if device.kind is DeviceKind.SHARED else None,
        taints=list(STANDING_TAINTS.get(device.kind, ())),
        binding_conditions=[VALIDATED_CONDITION] if waits else [],
        binding_failure_conditions=[VALIDATION_FAILED_CONDITION] if waits else [],
    )


def encode_counter_sets(node: SlottedHardware) -> list[CounterSet]:
    """All counter sets of a node, in slot order."""
    sets: dict[str, dict[str, int]] = {}
    for slot, gpu in node.gpus.items():
        sets.setdefault(counter_set_of(slot), {}).update(counters_of_gpu(slot, gpu))
    return [CounterSet(name=name, counters=_values(counters)) for name, counters in sets.items()]


def semver(version: str) -> str:
    """A dotted version as semver 2.0.0: three numbers without leading zeros ("580.82.07" is "580.82.7")."""
    numbers = [str(int(part)) for part in version.split(".")[:3]]
    return ".".join([*numbers, "0", "0"][:3])


def _values(counters: Mapping[str, int]) -> dict[str, CounterValue]:
    return {name: CounterValue(value=str(value)) for name, value in counters.items()}


def _gpu_attributes(device: OfferedDevice, node: SlottedHardware) -> dict[str, AttributeValue]:
    slot = device.slots[0]
    gpu, topology = node.gpus[slot], node.topology
    width = max(node.slots) + 1
    attributes = {
        "type": AttributeValue(string=device.kind),
        "uuid": AttributeValue(string=gpu.uuid),
        "slot": AttributeValue(int_=slot),
        "product": AttributeValue(string=gpu.product),
        "architecture": AttributeValue(string=gpu.architecture),
        "computeCapability": AttributeValue(version=semver(gpu.compute_capability)),
        "driverVersion": AttributeValue(version=semver(node.hardware.driver_version)),
        "cudaVersion": AttributeValue(version=semver(node.hardware.cuda_version)),
        "multiprocessors": AttributeValue(int_=gpu.multiprocessors),
        "pcie": AttributeValue(string=_pcie_row(topology, slot, width)),
        "resource.kubernetes.io/pcieRoot": AttributeValue(string=gpu.pcie_root),
        "resource.kubernetes.io/pciBusID": AttributeValue(string=gpu.pci_bus_id),
    }
    if gpu.numa_node is not None:
        attributes["resource.kubernetes.io/numaNode"] = AttributeValue(int_=gpu.numa_node)
    island = topology.islands(node.slots).get(slot)
    if island is not None:
        attributes["nvlinkIsland"] = AttributeValue(string=f"island-{island}")
    row = [topology.link(slot, other)[0] if other != slot else 0 for other in range(width)]
    if any(row):
        attributes["nvlinks"] = AttributeValue(string=",".join(map(str, row)))
        attributes["nvlinkGbps"] = AttributeValue(int_=node.hardware.nvlink_gbps)
    return attributes


def _pcie_row(topology: Topology, slot: int, width: int) -> str:
    return "".join("-" if other == slot else PCIE_LETTERS[topology.link(slot, other)[1]] for other in range(width))


def _mig_attributes(device: OfferedDevice, node: SlottedHardware) -> dict[str, AttributeValue]:
    slot, profile = device.slots[0], device.profile
    if profile is None:
        raise ValueError("a MIG device has a profile")
    return {
        "type": AttributeValue(string=device.kind),
        "shape": AttributeValue(string=shape_of(profile)),
        "profile": AttributeValue(string=profile.name),
        "product": AttributeValue(string=node.gpus[slot].product),
        "slot": AttributeValue(int_=slot),
    }


def _shared_attributes(device: OfferedDevice, node: SlottedHardware) -> dict[str, AttributeValue]:
    gpu = node.gpus[device.slots[0]]
    return {
        "type": AttributeValue(string=device.kind),
        "uuid": AttributeValue(string=gpu.uuid),
        "product": AttributeValue(string=gpu.product),
        "computeCapability": AttributeValue(version=semver(gpu.compute_capability)),
        "slot": AttributeValue(int_=device.slots[0]),
    }


def _group_attributes(device: OfferedDevice, node: SlottedHardware) -> dict[str, AttributeValue]:
    bandwidth = node.topology.set_bandwidth_gbps(device.slots)
    return {
        "type": AttributeValue(string=device.kind),
        "size": AttributeValue(int_=len(device.slots)),
        "product": AttributeValue(string=node.gpus[device.slots[0]].product),
        "bandwidthGbps": AttributeValue(int_=int(bandwidth)),
        "nvlink": AttributeValue(bool_=_fully_linked(device.slots, node.topology)),
    }


def _fully_linked(slots: tuple[int, ...], topology: Topology) -> bool:
    return all(topology.link(a, b)[0] for i, a in enumerate(slots) for b in slots[i + 1 :])


def _monitor_attributes(device: OfferedDevice, node: SlottedHardware) -> dict[str, AttributeValue]:  # noqa: ARG001 - the table's
    return {"type": AttributeValue(string=device.kind)}


_ATTRIBUTES = {
    DeviceKind.GPU: _gpu_attributes,
    DeviceKind.MIG: _mig_attributes,
    DeviceKind.SHARED: _shared_attributes,
    DeviceKind.GROUP: _group_attributes,
    DeviceKind.MONITOR: _monitor_attributes,
}

STANDING_TAINTS: Mapping[DeviceKind, tuple[Taint, ...]] = {
    DeviceKind.MONITOR: (Taint(key=MONITOR_TAINT_KEY, effect="NoSchedule"),)
}
"""Taints that devices of a kind always have. Admin access does not exempt from taints, so its claims tolerate them."""


def _capacity(device: OfferedDevice, gpus: Mapping[int, Gpu]) -> dict[str, Capacity]:
    if device.profile:
        return {"memory": Capacity(value=format_mib(device.profile.memory_mib))}
    if not device.slots:
        return {}
    memory_mib = sum(gpus[slot].memory_mib for slot in device.slots)
    if device.kind is DeviceKind.SHARED:
        return shared_capacity(memory_mib, device.max_clients)
    return {"memory": Capacity(value=format_mib(memory_mib))}


def shared_capacity(memory_mib: int, clients: int) -> dict[str, Capacity]:
    """Memory and shares of a shared GPU, each with the policy without which the first claim would take all of it."""
    step = SHARE_STEP_MIB
    total = memory_mib // step * step
    default = max(step, total // SHARE_DEFAULT_FRACTION // step * step)
    memory = RequestPolicy(
        default=format_mib(default),
        valid_range=ValidRange(min=format_mib(step), max=format_mib(total), step=format_mib(step)),
    )
    shares = RequestPolicy(default="1", valid_range=ValidRange(min="1", max=str(clients), step="1"))
    return {
        "memory": Capacity(value=format_mib(total), request_policy=memory),
        "shares": Capacity(value=str(clients), request_policy=shares),
    }


def split_slices(devices: Iterable[Device], size: int) -> list[list[Device]]:
    """Devices in order, at most `size` in each slice."""
    listed = list(devices)
    return [listed[i : i + size] for i in range(0, len(listed), size)]
