"""A fleet that exists in the API alone: nodes, their slices by the driver's own encoder, claims that hold GPUs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import yaml

from partita_driver.slices.contents import SliceContent
from partita_driver.slices.pool import PoolInputs, Published, desired_pool
from partita_plugins.backends.catalog import machine, names
from partita_plugins.errors import InvalidInput
from partita_plugins.model.offer import Offer, SlottedHardware
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_slice import Pool, ResourceSlice, ResourceSliceSpec

Json = dict[str, Any]
NAMESPACE = "default"
WHOLE = Offer()
CLASSES = Path(__file__).resolve().parents[2] / "manifests" / "base" / "classes"


def node_name(number: int) -> str:
    """Names as long as those of a cloud's machines."""
    return f"gpu-node-{number:05d}.compute.internal"


@cache
def machine_with(gpus: int) -> str:
    """A machine of the catalog with so many GPUs, HGX H100 for eight. Raises InvalidInput that says which there are."""
    sizes = {len(machine(name).gpus): name for name in sorted(names(), key=lambda name: name == "hgx-h100")}
    if gpus not in sizes:
        raise InvalidInput(f"no machine has {gpus} GPUs", advice=f"choose one of: {', '.join(map(str, sorted(sizes)))}")
    return sizes[gpus]


@cache
def _content(machine_name: str, offer: Offer) -> tuple[SliceContent, ...]:
    hardware = machine(machine_name)
    slotted = SlottedHardware(hardware=hardware, slots=tuple(range(len(hardware.gpus))))
    return desired_pool(PoolInputs(node_name="", node=slotted, offer=offer), Published(), frozenset())


def node(name: str) -> Json:
    """A Node as its kubelet leaves it: ready, with room for CPU and memory."""
    room = {"cpu": "192", "memory": "2Ti", "pods": "250"}
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    labels = {"kubernetes.io/hostname": name, "gpu.partita.dev/node": "true"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": room, "capacity": room, "conditions": [condition]},
    }


def bound_pod(where: str, cpus: int) -> Json:
    """A pod that runs on the node and takes CPU alone."""
    container = {"name": "main", "image": "none", "resources": {"requests": {"cpu": str(cpus)}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"on-{where}", "namespace": NAMESPACE, "uid": f"on-{where}"},
        "spec": {"nodeName": where, "containers": [container]},
        "status": {"phase": "Running"},
    }


def slices(name: str, machine_name: str, offer: Offer = WHOLE) -> list[ResourceSlice]:
    """The slices of one node, as its driver would write them; UUIDs are the node's own."""
    contents = _content(machine_name, offer)
    pool = Pool(name=pool_name(name), resource_slice_count=len(contents))
    uuids = [gpu.uuid for gpu in machine(machine_name, name).gpus]
    return [
        ResourceSlice(
            metadata=ObjectMeta(name=f"{index:02d}-{DRIVER_NAME}-{name}"),
            spec=ResourceSliceSpec(
                driver=DRIVER_NAME,
                pool=pool,
                node_name=name,
                shared_counters=list(content.counters),
                devices=[_owned(device, uuids) for device in content.devices],
            ),
        )
        for index, content in enumerate(contents)
    ]


def _owned(device: Any, uuids: list[str]) -> Any:
    if "uuid" not in device.attributes:
        return device
    own = msgspec.structs.replace(device.attributes["uuid"], string=uuids[device.attributes["slot"].int_])
    return msgspec.structs.replace(device, attributes={**device.attributes, "uuid": own})


def device_classes() -> list[Json]:
    """The classes that are shipped."""
    found = (yaml.safe_load(path.read_text()) for path in sorted(CLASSES.glob("*.yaml")))
    return [one for one in found if one["kind"] == "DeviceClass"]


def whole_gpus(machine_name: str) -> list[str]:
    """Names of a machine's whole GPUs."""
    return [
        device.name
        for content in _content(machine_name, WHOLE)
        for device in content.devices
        if device.attributes["type"].string == "gpu"
    ]


def partitions(machine_name: str, offer: Offer) -> dict[str, list[str]]:
    """Names of a machine's partitions by that of their GPU."""
    found = [device.name for content in _content(machine_name, offer) for device in content.devices]
    return {gpu: [name for name in found if name.startswith(f"{gpu}-mig-")] for gpu in whole_gpus(machine_name)}


class Holders:
    """Claims that come and go, each with something of a GPU that nobody else has any of."""

    def __init__(
        self,
        node_names: list[str],
        gpus: list[str],
        chance: random.Random,
        partitions_of: Mapping[str, list[str]] | None = None,
    ) -> None:
        """Each takes a whole GPU; where there are partitions, every second claim takes one of those."""
        self._chance, self._made, self._partitions = chance, 0, partitions_of or {}
        self._free = [(name, gpu) for name in node_names for gpu in gpus]
        self._held: list[tuple[str, str, str]] = []
        chance.shuffle(self._free)

    def take(self) -> Json:
        """Another claim with an allocation."""
        where, gpu = self._free.pop()
        self._made += 1
        name = f"held-{self._made:06d}"
        self._held.append((name, where, gpu))
        parts = self._partitions.get(gpu, ()) if self._made % 2 else ()
        return allocated_claim(name, str(UUID(int=self._made)), where, self._chance.choice(parts) if parts else gpu)

    def give_back(self) -> str:
        """The name of a claim that is gone now."""
        place = self._chance.randrange(len(self._held))
        self._held[place], self._held[-1] = self._held[-1], self._held[place]
        name, where, gpu = self._held.pop()
        self._free.insert(self._chance.randrange(len(self._free) + 1), (where, gpu))
        return name

    def fill(self, share: float) -> Iterator[Json]:
        """Claims for so large a share of all GPUs."""
        for _ in range(int(len(self._free) * share)):
            yield self.take()


def allocated_claim(name: str, uid: str, where: str, gpu: str) -> Json:
    """A claim for one whole GPU, allocated and reserved as kube-scheduler leaves it."""
    result = {"request": "gpu", "driver": DRIVER_NAME, "pool": pool_name(where), "device": gpu}
    only = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [where]}]}
    return {
        **claim(name, 1),
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid},
        "status": {
            "allocation": {"devices": {"results": [result]}, "nodeSelector": {"nodeSelectorTerms": [only]}},
            "reservedFor": [{"resource": "pods", "name": name, "uid": f"pod-of-{uid}"}],
        },
    }


def claim(name: str, count: int, device_class: str = DRIVER_NAME, **more: Any) -> Json:
    """A claim for so many devices of a class."""
    request = {"name": "gpu", "exactly": {"deviceClassName": device_class, "count": count, **more}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"devices": {"requests": [request]}},
    }
