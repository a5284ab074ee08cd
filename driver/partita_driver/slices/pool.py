"""The pool of one node, as a pure function: hardware, settings and faults in, contents of slices out.

A device leaves in three steps: it is tainted so that no new claim takes it, it stays while a claim holds it, it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from partita_driver.health.faults import Fault
from partita_driver.slices.contents import ALL_FEATURES, Features, SliceContent, pack
from partita_driver.slices.described import all_devices, answers, described_device, slots_of
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind, Offer, OfferedDevice, SlottedHardware, offered_devices
from partita_plugins.wire import FAULT_TAINT_KEY, WITHDRAWN_TAINT_KEY
from partita_plugins.wire.device_names import format_name
from partita_plugins.wire.objects import Taint
from partita_plugins.wire.offer import encode_counter_sets, encode_device
from partita_plugins.wire.resource_slice import CounterSet, Device

WITHDRAWN = Taint(key=WITHDRAWN_TAINT_KEY, effect="NoSchedule")

_NEEDS: Mapping[DeviceKind, Callable[[Features], bool]] = {
    DeviceKind.SHARED: lambda kept: kept.shares,
    DeviceKind.MONITOR: lambda kept: kept.taints,
}
"""What the API server must keep of a kind. Without its taint anybody's claim for any device might get a monitor."""

_PASSING_TAINTS = frozenset({FAULT_TAINT_KEY, WITHDRAWN_TAINT_KEY})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolInputs:
    """All that a node's pool follows from."""

    node_name: str
    node: SlottedHardware
    offer: Offer
    faults: tuple[Fault, ...] = ()
    foreign: frozenset[tuple[int, Placement | None]] = frozenset()
    """What is not ours to offer, by slot: GPU instances that somebody else made; None for all of a GPU."""

    allocated: frozenset[str] = frozenset()
    """Devices that claims are known to hold: published whatever the offer says (kubernetes#140802)."""

    binding: bool = False
    """kube-scheduler is to wait for a validation before it binds pods to devices."""

    features: Features = ALL_FEATURES


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the API server has of the pool now."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    counters: tuple[CounterSet, ...] = ()

    @property
    def binding(self) -> bool:
        """Whether kube-scheduler waits for any of it."""
        return any(device.binding_conditions for device in self.devices.values())

    def updated(self, newer: Published) -> Published:
        """Both, the newer where they differ."""
        counters = {entry.name: entry for entry in (*self.counters, *newer.counters)}
        return Published(devices={**self.devices, **newer.devices}, counters=tuple(counters.values()))


def desired_pool(
    inputs: PoolInputs, published: Published, held: frozenset[str], *, frozen: bool = False
) -> tuple[SliceContent, ...]:
    """The slices as they should be: the offer, then what is `held` though no longer offered, all with their taints.

    What an allocated device consumes never changes, so a held device stays exactly as it was published. A `frozen`
    pool takes in no device.
    """
    gpus = inputs.node.gpus
    offered = {format_name(device, gpus): device for device in devices_to_offer(inputs)}
    encoded = _encoded(tuple(offered.values()), inputs.node, binding=inputs.binding)
    kept = _kept_devices(inputs, published, sorted(held - offered.keys()))
    described = {device.name: span for device in kept if (span := described_device(device.name, inputs.node))}
    spans = {**described, **offered}
    # Without counters only this keeps a new device from what it would overlap: its time comes when that is gone.
    stay = [] if inputs.features.counters else list(described.values())
    devices = [
        *(
            _tainted(device, fault_taints(device.name, inputs, spans))
            for device in encoded
            if device.name in published.devices or not (frozen or _overlaps_any(offered[device.name], stay))
        ),
        *(_tainted(device, [*fault_taints(device.name, inputs, spans), WITHDRAWN]) for device in kept),
    ]
    return pack(inputs.node_name, encode_counter_sets(inputs.node), published.counters, devices, inputs.features)


def devices_to_offer(inputs: PoolInputs) -> tuple[OfferedDevice, ...]:
    """The offer without what the hardware or the API server rules out now."""
    features, gpus = inputs.features, inputs.node.gpus
    devices = [
        device
        for device in _offered(inputs.node, inputs.offer)
        if not any(_covers(device, slot, placement) for slot, placement in inputs.foreign)
        and (device.kind not in _NEEDS or _NEEDS[device.kind](features))
        and (features.taints or not any(_is_hit(device, fault, gpus) for fault in inputs.faults))
    ]
    return tuple(devices) if features.counters else _disjoint(devices, inputs)


def fault_taints(name: str, inputs: PoolInputs, spans: Mapping[str, OfferedDevice]) -> list[Taint]:
    """One taint for each effect of the faults that touch a device: the oldest fault's reason stands."""
    taints = {
        fault.effect: Taint(key=FAULT_TAINT_KEY, value=fault.reason, effect=fault.effect)
        for fault in sorted(faults_of(name, inputs, spans), key=lambda fault: -fault.since)
    }
    return [taints[effect] for effect in sorted(taints)]


def faults_of(name: str, inputs: PoolInputs, spans: Mapping[str, OfferedDevice]) -> list[Fault]:
    """The faults of hardware that a published device contains.

    A device that is not among `spans` takes all of its GPUs. One of them may not answer now: then faults of GPUs that
    do not answer are its.
    """
    gpus = inputs.node.gpus
    if device := spans.get(name):
        return [fault for fault in inputs.faults if _is_hit(device, fault, gpus)]
    members = {gpus[slot].uuid for slot in slots_of(name, inputs.node) if slot in gpus}
    there = set() if answers(name, inputs.node) else {gpu.uuid for gpu in gpus.values()}
    return [fault for fault in inputs.faults if fault.gpu_uuid in members or (there and fault.gpu_uuid not in there)]


def removable(offered: Iterable[str], published: Mapping[str, Device], features: Features) -> frozenset[str]:
    """Devices that are neither offered nor open to new claims: tainted as withdrawn, or never taintable."""
    return frozenset(
        name
        for name, device in published.items()
        if name not in set(offered)
        and (not features.taints or any(taint.key == WITHDRAWN_TAINT_KEY for taint in device.taints))
    )


def _disjoint(devices: Iterable[OfferedDevice], inputs: PoolInputs) -> tuple[OfferedDevice, ...]:
    """Without counters only devices that share no hardware may be published: what claims hold, then the first."""
    taken = [span for name in sorted(inputs.allocated) if (span := described_device(name, inputs.node))]
    kept: list[OfferedDevice] = []
    for device in devices:
        if format_name(device, inputs.node.gpus) in inputs.allocated:
            kept.append(device)
        elif not _overlaps_any(device, taken):
            kept.append(device)
            taken.append(device)
    return tuple(kept)


def _overlaps_any(device: OfferedDevice, others: Iterable[OfferedDevice]) -> bool:
    return any(_covers(other, slot, device.placement) for other in others for slot in device.slots)


@lru_cache(maxsize=4)
def _encoded(devices: tuple[OfferedDevice, ...], node: SlottedHardware, *, binding: bool) -> tuple[Device, ...]:
    """Settings and hardware change rarely, faults and claims often: the costly part is kept."""
    return tuple(encode_device(device, node, binding=binding) for device in devices)


@lru_cache(maxsize=4)
def _offered(node: SlottedHardware, offer: Offer) -> tuple[OfferedDevice, ...]:
    return offered_devices(node, offer)


def _kept_devices(inputs: PoolInputs, published: Published, names: Sequence[str]) -> list[Device]:
    """As published; where the slices were wiped meanwhile, as the hardware says; neither: nothing can be said of it."""
    kept = []
    for name in names:
        if name in published.devices:
            kept.append(published.devices[name])
        elif device := described_device(name, inputs.node):
            kept.append(encode_device(device, inputs.node))
    return kept


def _tainted(device: Device, taints: list[Taint]) -> Device:
    """A device with these taints beside those that it always has."""
    if not (taints or device.taints):
        return device
    standing = [
        Taint(key=taint.key, value=taint.value, effect=taint.effect)
        for taint in device.taints
        if taint.key not in _PASSING_TAINTS
    ]
    return msgspec.structs.replace(device, taints=standing + taints)


def _is_hit(device: OfferedDevice, fault: Fault, gpus: Mapping[int, Gpu]) -> bool:
    return any(fault.overlaps(gpus[slot].uuid, device.placement) for slot in device.slots)


def _covers(device: OfferedDevice, slot: int, placement: Placement | None) -> bool:
    """Does a device contain a part of a GPU? None stands for all of the GPU."""
    if slot not in device.slots:
        return False
    return placement is None or device.placement is None or device.placement.overlaps(placement)


def broken_devices(inputs: PoolInputs, names: Iterable[str]) -> dict[str, list[Fault]]:
    """Which of some published devices have faults, for the kubelet's health list."""
    if not inputs.faults:
        return {}
    spans = {**all_devices(inputs.node), **{format_name(d, inputs.node.gpus): d for d in devices_to_offer(inputs)}}
    found = {name: faults_of(name, inputs, spans) for name in names}
    return {name: faults for name, faults in found.items() if faults}
