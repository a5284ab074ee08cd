"""What a release writes: its journal, the names and counters of its devices, its slices, and what it can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from hack.released.samples import samples

from partita_driver.journal.format import NEW_IN_3, encode_journal
from partita_driver.journal.records import ClaimRecord, DeviceRecord, JournalState
from partita_driver.slices.contents import SliceContent
from partita_driver.slices.described import EVERYTHING
from partita_driver.slices.pool import PoolInputs, Published, desired_pool
from partita_plugins.backends.catalog import machine
from partita_plugins.backends.catalog.machines import MACHINES
from partita_plugins.model.gpu import Gpu, NodeHardware
from partita_plugins.model.offer import DeviceKind, Offer, SlottedHardware
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.opaque import API_VERSION, GpuConfig
from partita_plugins.wire.resource_claim import DeviceClass, ResourceClaim
from partita_plugins.wire.resource_slice import Device, Pool, ResourceSlice, ResourceSliceSpec
from partita_scheduler.cluster.view import ClusterView, Node, Pod
from partita_scheduler.policy.decision import decide

NODE = "golden"
SLICED = {
    "gb200-tray": EVERYTHING,
    "l40s-x8": Offer(shared=True, group_sizes=frozenset({2, 4})),
}
"""Machines whose slices are kept whole, by what they offer."""

TYPE = f'device.attributes["{DRIVER_NAME}"].type'
WISHES = {
    "whole": f'{TYPE} == "gpu"',
    "shared": f'{TYPE} == "shared"',
    "pair": f'{TYPE} == "group" && device.attributes["{DRIVER_NAME}"].size == 2',
    "partition": f'{TYPE} == "mig"',
}
"""A device class each, as the manifests have them."""


def journals() -> dict[str, bytes]:
    """Copies of the journal by name: with nothing in it, with every field in use, with monitors, and with MPS too.

    Those take newer versions of the journal.
    """
    (everything,) = samples(JournalState)
    full = _without_mps(everything)
    return {
        "minimal": encode_journal(1, JournalState()),
        "full": encode_journal(2, _without_monitors(full)),
        "monitors": encode_journal(3, full),
        "mps": encode_journal(4, everything),
    }


def devices(machine_name: str) -> dict[str, str]:
    """Every device that a machine can offer: name to what it consumes, "gpus g0p0=2 g0p1=2"."""
    hardware = machine(machine_name, seed=NODE)
    with_mig = replace(hardware, gpus=tuple(_in_mig_mode(gpu) for gpu in hardware.gpus))
    found = [*_published(with_mig, EVERYTHING), *_published(hardware, EVERYTHING)]
    return {device.name: consumed(device) for device in found}


def consumed(device: Device) -> str:
    return " ".join(
        " ".join([entry.counter_set, *(f"{name}={value.value}" for name, value in sorted(entry.counters.items()))])
        for entry in device.consumes_counters
    )


def machines() -> Sequence[str]:
    return sorted(MACHINES)


def slices(machine_name: str) -> list[ResourceSlice]:
    """A node's slices as they are written to the API."""
    contents = _contents(machine(machine_name, seed=NODE), SLICED[machine_name])
    pool = Pool(name=pool_name(NODE), resource_slice_count=len(contents))
    return [
        ResourceSlice(
            metadata=ObjectMeta(name=content.name),
            spec=ResourceSliceSpec(
                driver=DRIVER_NAME,
                pool=pool,
                node_name=NODE,
                devices=list(content.devices),
                shared_counters=list(content.counters),
            ),
        )
        for content in contents
    ]


def predictions(published: Sequence[ResourceSlice]) -> dict[str, list[str]]:
    """Which devices the extender expects a claim to get, by wish; none where nothing fits."""
    return {wish: _predicted(published, wish) for wish in WISHES}


def configs() -> list[dict[str, Any]]:
    """Opaque parameters that a claim may have, each word once."""
    return [{"apiVersion": API_VERSION, **msgspec.to_builtins(config)} for config in samples(GpuConfig)]


def readers() -> dict[str, dict[str, Any]]:
    """What this release can read, as JSON schemas by name."""
    return {name: msgspec.json.schema(kind) for name, kind in (("journal", JournalState), ("slices", ResourceSlice))}


def _without_mps(state: JournalState) -> JournalState:
    def kept(device: DeviceRecord) -> DeviceRecord:
        steps = tuple(step for step in device.steps if not isinstance(step, NEW_IN_3))
        return msgspec.structs.replace(device, steps=steps)

    def without(claim: ClaimRecord) -> ClaimRecord:
        return msgspec.structs.replace(claim, devices=tuple(kept(device) for device in claim.devices))

    return msgspec.structs.replace(state, claims={uid: without(claim) for uid, claim in state.claims.items()})


def _without_monitors(state: JournalState) -> JournalState:
    def kept(claim: ClaimRecord) -> ClaimRecord:
        devices = tuple(device for device in claim.devices if device.kind is not DeviceKind.MONITOR)
        return msgspec.structs.replace(claim, devices=devices)

    return msgspec.structs.replace(state, claims={uid: kept(claim) for uid, claim in state.claims.items()})


def _contents(hardware: NodeHardware, offer: Offer) -> tuple[SliceContent, ...]:
    node = SlottedHardware(hardware=hardware, slots=tuple(range(len(hardware.gpus))))
    return desired_pool(PoolInputs(node_name=NODE, node=node, offer=offer), Published(), frozenset())


def _published(hardware: NodeHardware, offer: Offer) -> list[Device]:
    return [device for content in _contents(hardware, offer) for device in content.devices]


def _in_mig_mode(gpu: Gpu) -> Gpu:
    return replace(gpu, mig=gpu.mig and replace(gpu.mig, enabled=True, pending=True))


def _predicted(published: Sequence[ResourceSlice], wish: str) -> list[str]:
    claim = {
        "metadata": {"name": wish, "namespace": "default", "uid": wish},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": wish}}]}},
    }
    pod = {
        "metadata": {"name": wish, "namespace": "default", "uid": wish},
        "spec": {"resourceClaims": [{"name": wish, "resourceClaimName": wish}]},
    }
    classes = {
        name: msgspec.convert(
            {"metadata": {"name": name}, "spec": {"selectors": [{"cel": {"expression": expression}}]}}, DeviceClass
        )
        for name, expression in WISHES.items()
    }
    view = ClusterView(
        nodes={NODE: msgspec.convert({"metadata": {"name": NODE}}, Node)},
        slices={NODE: tuple(published)},
        classes=classes,
        claims={("default", wish): msgspec.convert(claim, ResourceClaim)},
        server_minor=36,
    )
    allocations = decide(view, msgspec.convert(pod, Pod), [NODE]).verdicts[NODE].allocations or {}
    return [result.device for allocation in allocations.values() for result in allocation.devices.results]
