"""A node's slices as pools, in the order in which the allocator tries them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter

import msgspec

from partita_plugins.model.quantity import parsed
from partita_plugins.wire.resource_slice import Device, ResourceSlice
from partita_scheduler.allocator.counters import Consumption, CounterKey
from partita_scheduler.allocator.in_use import PoolId
from partita_scheduler.allocator.node_match import node_matches
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.allocator.plan import RequestPlan
from partita_scheduler.cel.selector import CelError
from partita_scheduler.cluster.view import IDENTITY_ATTRIBUTES, Node

MAX_MATCHES = 32
"""Of one device: a cluster has few classes, but users write selectors of their own."""


@dataclass(slots=True, eq=False)
class InputDevice:
    """One published device."""

    raw: Device
    slice_: ResourceSlice
    reachable: bool
    """False where the device's own node selection leaves this node out."""

    consumption: Consumption
    shared: bool
    matches: dict[object, bool] = field(default_factory=dict)
    """Selectors to whether they all match, as far as they were asked."""

    @property
    def name(self) -> str:
        return self.raw.name

    def selected_by(self, request: RequestPlan) -> bool:
        """Whether class and request select it. Raises CelError or CelUnsupported."""
        found = self.matches.get(request.selectors)
        if found is None:
            try:
                found = all(one.matches(self.slice_.spec.driver, self.raw) for one in request.selectors)
            except CelError as error:
                raise CelError(
                    f"request {request.name} of class {request.class_name}, device {self.name}: {error}"
                ) from error
            found = found and self.reachable
            if len(self.matches) >= MAX_MATCHES:
                self.matches.clear()
            self.matches[request.selectors] = found
        return found


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class InputPool:
    """One pool as this node sees it."""

    id: PoolId
    incomplete: bool = False
    """Some of its slices are missing: the driver is changing it."""

    invalid: str = ""
    """Why nothing can be allocated from it."""

    unsure: str = ""
    """What it has that counts or not by a gate of kube-scheduler."""

    devices: tuple[InputDevice, ...] = ()
    """In the order in which they are tried: slices by name, devices as listed."""

    totals: Mapping[CounterKey, Decimal] = field(default_factory=dict)
    consumers: Mapping[str, Consumption] = field(default_factory=dict)
    """What each device consumes, also those that other nodes reach."""

    shape: int = 0
    """Equal for pools with equal content, whatever their name."""

    @property
    def usable(self) -> bool:
        return not (self.incomplete or self.invalid)


COMPATIBILITY_GROUPS = "devices with compatibility groups"

_shapes = Numbers()

SlicesOfPool = Callable[[PoolId], Iterable[ResourceSlice]]


def gather_pools(node: Node, slices: Sequence[ResourceSlice], slices_of_pool: SlicesOfPool) -> tuple[InputPool, ...]:
    """Pools with a slice for this node: first those without binding conditions, each part by driver and name."""
    found: dict[PoolId, list[ResourceSlice]] = {}
    for slice_ in slices:
        if _relevant(slice_, node):
            _keep_newest(found.setdefault(PoolId(slice_.spec.driver, slice_.spec.pool.name), []), slice_)
    pools = [pool for key, kept in found.items() if (pool := _pool(key, kept, node, slices_of_pool))]
    return tuple(sorted(pools, key=lambda pool: (_binds(pool), pool.id)))


def _keep_newest(kept: list[ResourceSlice], slice_: ResourceSlice) -> None:
    generation = kept[0].spec.pool.generation if kept else slice_.spec.pool.generation
    if slice_.spec.pool.generation > generation:
        kept.clear()
    if slice_.spec.pool.generation >= generation:
        kept.append(slice_)


def _relevant(slice_: ResourceSlice, node: Node) -> bool:
    spec = slice_.spec
    if spec.node_name or spec.all_nodes or spec.node_selector is not None:
        return _reaches(spec, node)
    return bool(spec.per_device_node_selection) and any(_reaches(device, node) for device in spec.devices)


def _reaches(owner: Device | object, node: Node) -> bool:
    name, everywhere, selector = _SELECTION(owner)
    return node_matches(node, node_name=name, all_nodes=everywhere, node_selector=selector)


_SELECTION = attrgetter("node_name", "all_nodes", "node_selector")


def _pool(key: PoolId, kept: list[ResourceSlice], node: Node, slices_of_pool: SlicesOfPool) -> InputPool | None:
    declared = kept[0].spec.pool
    others: list[ResourceSlice] = []
    if len(kept) != declared.resource_slice_count:
        everywhere = list(slices_of_pool(key))
        if any(one.spec.pool.generation > declared.generation for one in everywhere):
            return None  # The driver is replacing it with one that has nothing for this node.
        current = [one for one in everywhere if one.spec.pool.generation == declared.generation]
        if len(current) != declared.resource_slice_count:
            return InputPool(id=key, incomplete=True, shape=_shapes.of((key.driver, "incomplete")))
        names = {one.metadata.name for one in kept}
        others = [one for one in current if one.metadata.name not in names]
    return _complete_pool(key, sorted(kept, key=lambda one: one.metadata.name), others, node)


def _complete_pool(key: PoolId, kept: list[ResourceSlice], others: list[ResourceSlice], node: Node) -> InputPool:
    totals: dict[CounterKey, Decimal] = {}
    problem = ""
    for one in (*kept, *others):
        for counter_set in one.spec.shared_counters:
            if any(name == counter_set.name for name, _ in totals):
                problem = f"counter set {counter_set.name} is there twice"
            totals |= {(counter_set.name, name): parsed(c.value) for name, c in counter_set.counters.items()}
    devices = [_device(device, one, node) for one in kept for device in one.spec.devices]
    consumers = {device.name: device.consumption for device in devices}
    if len(consumers) != len(devices):
        problem = "two devices have one name"
    for one in others:
        consumers |= {device.name: _consumption(device) for device in one.spec.devices}
    missing = next((name for used in consumers.values() for name, _ in used if name not in totals), None)
    if missing and not problem:
        problem = f"there is no counter {missing[1]} in a set {missing[0]}"
    elsewhere = tuple(sorted(consumers.items())) if others else ()
    unsure = COMPATIBILITY_GROUPS if any(map(_has_groups, (*kept, *others))) else ""
    number = _shapes.of(_digest((key.driver, problem, unsure, tuple(totals.items()), elsewhere), devices))
    if problem:
        return InputPool(id=key, invalid=problem, unsure=unsure, shape=number)
    return InputPool(id=key, unsure=unsure, devices=tuple(devices), totals=totals, consumers=consumers, shape=number)


def _has_groups(slice_: ResourceSlice) -> bool:
    """With the gate such devices exclude one another; without it kube-scheduler ignores the slice, and so the pool."""
    return any(used.compatibility_groups for device in slice_.spec.devices for used in device.consumes_counters)


def _digest(head: tuple[object, ...], devices: Iterable[InputDevice]) -> bytes:
    # A pool is some 80 KB, and every fault makes a new one: its taint has a time.
    digest = hashlib.blake2b(repr(head).encode(), digest_size=16)
    for device in devices:
        digest.update(_content(device))
    return digest.digest()


def _device(device: Device, slice_: ResourceSlice, node: Node) -> InputDevice:
    reachable = not slice_.spec.per_device_node_selection or _reaches(device, node)
    return InputDevice(device, slice_, reachable, _consumption(device), bool(device.allow_multiple_allocations))


def _consumption(device: Device) -> Consumption:
    return tuple(
        ((one.counter_set, name), parsed(counter.value))
        for one in device.consumes_counters
        for name, counter in one.counters.items()
    )


def _content(device: InputDevice) -> bytes:
    """What a device is, but for its identity; no content is the beginning of another."""
    kept = {name: value for name, value in device.raw.attributes.items() if name not in IDENTITY_ATTRIBUTES}
    return msgspec.json.encode([msgspec.structs.replace(device.raw, attributes=kept), device.reachable])


def _binds(pool: InputPool) -> bool:
    return any(device.raw.binding_conditions for device in pool.devices)
