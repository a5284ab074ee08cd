"""A node's offer: settings and hardware in, devices out, in the order kube-scheduler should try them.

Since 1.36 the allocator takes the first device that fits in list order, so the order is the placement policy inside a
node. It is static: whole GPUs, and partitions that fill one, from the last slot down; other partitions from the first
slot up, 3g at slice 4 before any 3g at 0, 1g from slice 6 down. It is the best static order found on 12 mixes and
loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import networkx as nx

from partita_plugins.model.gpu import Gpu, NodeHardware
from partita_plugins.model.mig import PLAIN_PROFILE_ENUMS, MigProfile, Placement
from partita_plugins.model.topology import Topology

GPUS_PER_COUNTER_SET = 8
DOUBLE_MEMORY_ENUM = 9
"""NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV2: one compute slice with the memory of two."""


class DeviceKind(StrEnum):
    """What a published device is; its value is the `type` attribute that every DeviceClass tests first."""

    GPU = "gpu"
    MIG = "mig"
    SHARED = "shared"
    GROUP = "group"
    MONITOR = "monitor"
    """Looks at every GPU of the node, whoever holds it, and takes nothing of any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one node is meant for."""

    whole: bool = True
    mig_shapes: frozenset[str] = frozenset()
    """Shapes of partitions: "1g", "1g-double", "2g", "3g", "4g", "7g"."""

    shared: bool = False
    shared_clients: int = 16
    """How many claims may share one GPU."""

    group_sizes: frozenset[int] = frozenset()
    monitor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedDevice:
    """One device of a node's pool: a GPU, a part of one, a shared GPU, several GPUs together, or the node's monitor."""

    kind: DeviceKind
    slots: tuple[int, ...]
    """The GPUs it lives on, by slot, ascending; none for a monitor: it sees those that there are when it is used."""

    profile: MigProfile | None = None
    placement: Placement | None = None
    """Both for MIG partitions only."""

    max_clients: int = 1
    """How many claims may hold the device at once; above 1 for a shared GPU only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlottedHardware:
    """A node's GPUs under slots that stay with their PCI address, whatever is lost or added."""

    hardware: NodeHardware
    slots: tuple[int, ...]
    """Slot of each entry of hardware.gpus."""

    gpus: Mapping[int, Gpu] = field(init=False, repr=False, compare=False)
    """By slot, ascending."""

    def __post_init__(self) -> None:
        gpus = dict(sorted(zip(self.slots, self.hardware.gpus, strict=True)))
        object.__setattr__(self, "gpus", gpus)

    @property
    def topology(self) -> Topology:
        return Topology.of(self.hardware, self.slots)


def shape_of(profile: MigProfile) -> str:
    """The profile's name without memory, the same on every board: "3g", "1g-double"."""
    return "1g-double" if profile.enum == DOUBLE_MEMORY_ENUM else profile.short_name


def offered_devices(node: SlottedHardware, offer: Offer) -> tuple[OfferedDevice, ...]:
    """All devices of a node in publishing order: few and wanted first, then partitions GPU by GPU, the monitor last.

    A GPU whose MIG mode only a reset could switch is offered in its present mode alone.
    """
    gpus = node.gpus
    whole = tuple(slot for slot, gpu in gpus.items() if not (gpu.mig and gpu.mig.pinned))
    devices: list[OfferedDevice] = []
    if offer.whole:
        devices += (OfferedDevice(kind=DeviceKind.GPU, slots=(slot,)) for slot in reversed(whole))
    if offer.shared:
        devices += (
            OfferedDevice(kind=DeviceKind.SHARED, slots=(slot,), max_clients=offer.shared_clients) for slot in whole
        )
    devices += (
        OfferedDevice(kind=DeviceKind.GROUP, slots=members)
        for size, members in groups(node.topology, whole)
        if size in offer.group_sizes
    )
    devices += _partitions(gpus, offer.mig_shapes)
    if offer.monitor:
        devices.append(OfferedDevice(kind=DeviceKind.MONITOR, slots=()))
    return tuple(devices)


def _partitions(gpus: Mapping[int, Gpu], shapes: frozenset[str]) -> Iterable[OfferedDevice]:
    entries = [
        (slot, profile, placement)
        for slot, gpu in gpus.items()
        for profile in _by_size(gpu, shapes)
        for placement in sorted(profile.placements, reverse=True)
    ]
    # A partition that fills its GPU goes where a whole GPU would, away from the small ones.
    full = [entry for entry in reversed(entries) if _fills(gpus[entry[0]], entry[2])]
    # A 3g at slice 0 blocks the only place of a 4g, so every GPU's 3g at 4 is tried before it.
    late = [entry for entry in entries if entry[1].short_name == "3g" and entry[2].start == 0]
    for slot, profile, placement in [*full, *(entry for entry in entries if entry not in full + late), *late]:
        yield OfferedDevice(kind=DeviceKind.MIG, slots=(slot,), profile=profile, placement=placement)


def _fills(gpu: Gpu, placement: Placement) -> bool:
    geometry = gpu.mig.geometry if gpu.mig else None
    return geometry is not None and sum(geometry.consumed(placement).values()) == 2 * geometry.pairs


def _by_size(gpu: Gpu, shapes: frozenset[str]) -> list[MigProfile]:
    profiles = gpu.mig.profiles if gpu.mig and gpu.mig.available else ()
    wanted = [p for p in profiles if p.enum in PLAIN_PROFILE_ENUMS and shape_of(p) in shapes]
    return sorted(wanted, key=lambda p: (-p.compute_slices, -p.size))


def groups(topology: Topology, slots: tuple[int, ...]) -> Iterable[tuple[int, tuple[int, ...]]]:
    """Groups of 2, 4 and 8 GPUs, each made of two groups of half its size, paired for the most bandwidth."""
    blocks: list[tuple[int, ...]] = [(slot,) for slot in sorted(slots)]
    for size in (2, 4, 8):
        blocks = _paired(topology, blocks)
        for members in blocks:
            yield size, members


def _paired(topology: Topology, blocks: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    graph: nx.Graph[int] = nx.Graph()
    for i, one in enumerate(blocks):
        for j, other in enumerate(blocks[i + 1 :], start=i + 1):
            # Neighbours win ties: slots next to each other usually share a switch.
            weight = topology.set_bandwidth_gbps((*one, *other)) * 1000 - (j - i)
            graph.add_edge(i, j, weight=weight + 1_000_000)
    pairs = nx.max_weight_matching(graph, maxcardinality=True)
    return sorted(tuple(sorted((*blocks[i], *blocks[j]))) for i, j in pairs)


def counter_set_of(slot: int) -> str:
    """Name of the counter set that holds a slot's counters: 8 GPUs of 4 counters fill one set."""
    group = slot // GPUS_PER_COUNTER_SET
    return "gpus" if group == 0 else f"gpus-{group * GPUS_PER_COUNTER_SET}"


def counters_of_gpu(slot: int, gpu: Gpu) -> dict[str, int]:
    """All counters of one GPU with their totals.

    They follow from what the hardware can do, never from settings: what an allocated device consumes must not change.
    """
    pairs = gpu.mig.geometry.pairs if gpu.mig else 0
    return {f"g{slot}p{pair}": 2 for pair in range(pairs)} or {f"g{slot}p0": 1}


def consumed_counters(device: OfferedDevice, gpus: Mapping[int, Gpu]) -> dict[str, dict[str, int]]:
    """What a device consumes: counter set to counter to value. A monitor nothing, so that it fits beside anything."""
    consumed: dict[str, dict[str, int]] = {}
    for slot in device.slots:
        counters = counters_of_gpu(slot, gpus[slot])
        mig = gpus[slot].mig
        if device.placement and mig:
            counters = {f"g{slot}p{pair}": n for pair, n in mig.geometry.consumed(device.placement).items()}
        consumed.setdefault(counter_set_of(slot), {}).update(counters)
    return consumed
