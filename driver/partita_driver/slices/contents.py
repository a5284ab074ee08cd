"""Devices packed into slices: counter sets in slice 0, then devices in publishing order, 64 to a slice.

Names are fixed, and their order is the order in which kube-scheduler tries the devices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.objects import Taint
from partita_plugins.wire.offer import split_slices
from partita_plugins.wire.resource_slice import (
    MAX_DEVICES_PER_SLICE,
    CounterSet,
    CounterValue,
    Device,
    ResourceSliceSpec,
)

MAX_NAME = 253


@dataclass(frozen=True, slots=True)
class Features:
    """What the API server keeps of a slice: an older one, or one with gates off, drops fields without a word."""

    counters: bool = True
    taints: bool = True
    shares: bool = True
    conditions: bool = True


ALL_FEATURES = Features()


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceContent:
    """What one slice says, apart from its pool's generation and its metadata."""

    name: str
    counters: tuple[CounterSet, ...] = ()
    devices: tuple[Device, ...] = ()


def slice_name(node_name: str, index: int) -> str:
    """The name of one slice. Two digits keep the order of names that of the indices."""
    name = f"{index:02d}-{DRIVER_NAME}-{node_name}"
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(node_name.encode()).hexdigest()[:16]
    return f"{name[: MAX_NAME - 17].rstrip('-.')}-{digest}"


def pack(
    node_name: str,
    counters: Sequence[CounterSet],
    known_counters: Sequence[CounterSet],
    devices: Sequence[Device],
    features: Features,
) -> tuple[SliceContent, ...]:
    """The slices of a pool: at least one, so that a node without devices is seen to have a driver.

    `known_counters` are those already published: a device of a GPU that is gone still needs them. Where those are lost
    too, they are what its largest device consumes: one unknown counter would make the whole pool invalid.
    """
    kept = [_without_dropped(device, features) for device in devices]
    groups = [tuple(group) for group in split_slices(kept, MAX_DEVICES_PER_SLICE)]
    sets = _united(counters, known_counters, kept) if features.counters else ()
    if not sets:
        return tuple(
            SliceContent(name=slice_name(node_name, index), devices=group) for index, group in enumerate(groups or [()])
        )
    return (
        SliceContent(name=slice_name(node_name, 0), counters=sets),
        *(
            SliceContent(name=slice_name(node_name, index), devices=group)
            for index, group in enumerate(groups, start=1)
        ),
    )


def content_of(name: str, spec: ResourceSliceSpec) -> SliceContent:
    """What a slice in the API says, without the times that the API server adds."""
    return SliceContent(
        name=name,
        counters=tuple(spec.shared_counters),
        devices=tuple(_timeless(device) for device in spec.devices),
    )


def with_times(content: SliceContent, known: Iterable[Device]) -> list[Device]:
    """The devices of a content, each taint with the time at which the API server first saw it."""
    times = {
        (device.name, taint.key, taint.value, taint.effect): taint.time_added
        for device in known
        for taint in device.taints
    }
    return [
        msgspec.structs.replace(
            device,
            taints=[
                msgspec.structs.replace(
                    taint, time_added=times.get((device.name, taint.key, taint.value, taint.effect), msgspec.UNSET)
                )
                for taint in device.taints
            ],
        )
        for device in content.devices
    ]


def dropped(sent: SliceContent, stored: SliceContent) -> Features:
    """What the API server left out of a slice that it took."""
    mine = {device.name: device for device in sent.devices}
    pairs = [(mine[device.name], device) for device in stored.devices if device.name in mine]
    return Features(
        counters=not (
            (sent.counters and not stored.counters)
            or any(wrote.consumes_counters and not kept.consumes_counters for wrote, kept in pairs)
        ),
        taints=not any(wrote.taints and not kept.taints for wrote, kept in pairs),
        shares=not any(
            wrote.allow_multiple_allocations and not kept.allow_multiple_allocations for wrote, kept in pairs
        ),
        conditions=not any(wrote.binding_conditions and not kept.binding_conditions for wrote, kept in pairs),
    )


def _without_dropped(device: Device, features: Features) -> Device:
    """A device without the fields that would not be kept, so that what is sent and what is stored are the same."""
    return msgspec.structs.replace(
        device,
        consumes_counters=device.consumes_counters if features.counters else [],
        taints=device.taints if features.taints else [],
        binding_conditions=device.binding_conditions if features.conditions else [],
        binding_failure_conditions=device.binding_failure_conditions if features.conditions else [],
    )


def _timeless(device: Device) -> Device:
    if not device.taints:
        return device
    return msgspec.structs.replace(
        device, taints=[Taint(key=taint.key, value=taint.value, effect=taint.effect) for taint in device.taints]
    )


def _united(
    counters: Sequence[CounterSet], known: Sequence[CounterSet], devices: Sequence[Device]
) -> tuple[CounterSet, ...]:
    sets: dict[str, dict[str, CounterValue]] = {entry.name: dict(entry.counters) for entry in counters}
    consumptions = [consumed for device in devices for consumed in device.consumes_counters]
    needed = {(consumed.counter_set, name) for consumed in consumptions for name in consumed.counters}
    for entry in known:
        for name, value in entry.counters.items():
            if (entry.name, name) in needed:
                sets.setdefault(entry.name, {}).setdefault(name, value)
    for consumed in sorted(consumptions, key=lambda one: -sum(int(value.value) for value in one.counters.values())):
        for name, value in consumed.counters.items():
            sets.setdefault(consumed.counter_set, {}).setdefault(name, value)
    return tuple(CounterSet(name=name, counters=values) for name, values in sets.items())
