"""What is seen of a node at a quiet moment: no call is in progress, and reconciling has run since the last change.

Plain values, of the testers' own: whoever observes copies into them, and nothing here trusts the driver's geometry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from partita_driver.journal.records import ClaimRecord, DeviceRecord
from partita_driver.lifecycle import ClaimState
from partita_plugins.errors import InvalidInput
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind
from partita_plugins.wire import MONITOR_TAINT_KEY
from partita_plugins.wire.device_names import parse_name

Partition = tuple[str, int, Placement]
"""GPU UUID, profile id, place: what tells one partition of a node from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldDevice:
    """A device as somebody holds it, and the hardware that it stands for."""

    name: str
    kind: DeviceKind
    gpu_uuids: tuple[str, ...]
    """None for a monitor, which looks at all and owns nothing of any."""

    profile_id: int | None = None
    placement: Placement | None = None
    """None: all of its GPUs."""

    time_slice: str = "Default"
    admin: bool = False
    """Looks at the device, and owns nothing."""

    @property
    def partition(self) -> Partition | None:
        """The partition that it is, if it is one."""
        if self.admin or self.placement is None or self.profile_id is None:
            return None
        return self.gpu_uuids[0], self.profile_id, self.placement


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenInstance:
    """A GPU instance on the hardware."""

    profile_id: int
    placement: Placement
    compute_instances: int
    nodes: frozenset[str] = frozenset()
    """Device nodes of the instance and its compute instances, without those of its GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenGpu:
    """One GPU as the hardware says it is."""

    uuid: str
    mig_enabled: bool = False
    time_slice: str = "Default"
    instances: tuple[SeenInstance, ...] = ()
    nodes: frozenset[str] = frozenset()
    """Device nodes that a program needs for anything on this GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRecord:
    """A claim in the journal."""

    state: ClaimState
    devices: tuple[HeldDevice, ...]
    remake: bool = False
    """It was prepared when the node rebooted, and waits with its place kept."""

    unseen: bool = False
    """Found again after the journal was lost, and not looked at yet: its GPU did not answer."""

    waits: bool = False
    """Ready for a pod that is not bound yet, and handed to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCdi:
    """The CDI file of a claim."""

    nodes: frozenset[str]
    """Device nodes that it names."""

    missing: frozenset[str] = frozenset()
    """Those of them that are not on the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A claim that the kubelet was told is prepared, and has not been told is unprepared."""

    devices: tuple[HeldDevice, ...]
    told_at: float = 0.0
    """When Prepare last succeeded, by the observer's clock."""

    rebooted: bool = False
    """The node rebooted since, and the kubelet has not replayed it: only its place must be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Hardware that is not to be handed out."""

    gpu_uuid: str
    placement: Placement | None = None
    """None: all of the GPU."""

    since: float = 0.0
    """By the observer's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenDevice:
    """A device in the node's slices."""

    held: HeldDevice
    tainted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything that the invariants are about."""

    gpus: tuple[SeenGpu, ...] = ()
    """GPUs that answer."""

    silent: frozenset[str] = frozenset()
    """UUIDs of GPUs that are lost or hang: nobody can ask them for anything."""

    records: Mapping[str, SeenRecord] = field(default_factory=dict)
    """The journal, by claim UID."""

    cdi: Mapping[str, SeenCdi] = field(default_factory=dict)
    """CDI files, by claim UID."""

    promises: Mapping[str, Promise] = field(default_factory=dict)
    """What the kubelet believes is prepared, by claim UID."""

    allocated: Mapping[str, tuple[HeldDevice, ...]] | None = None
    """Claims in the API with their devices on this node, by UID; None: the API has not been reachable since the last
    reconciling."""

    published: Mapping[str, SeenDevice] | None = None
    """Devices in the node's slices, by name; None: not observed."""

    quarantines: tuple[Quarantine, ...] = ()
    foreign: frozenset[Partition] = frozenset()
    """Partitions that somebody else made by hand."""

    running: Mapping[str, tuple[HeldDevice, ...]] = field(default_factory=dict)
    """What containers have, by claim UID, also those of pods that are being deleted."""

    ending: frozenset[str] = frozenset()
    """Claims of pods that the kubelet has still to end, whatever the API says."""

    own: frozenset[str] = frozenset()
    """UIDs of claims of the driver's own, which neither kubelet nor API know."""


def held_in(record: DeviceRecord) -> HeldDevice:
    """A journalled device as a tester's value."""
    return HeldDevice(
        name=record.device,
        kind=record.kind,
        gpu_uuids=record.gpu_uuids,
        profile_id=record.profile_id,
        placement=record.placement,
        time_slice=record.time_slice,
        admin=record.admin,
    )


def seen_record(claim: ClaimRecord) -> SeenRecord:
    """A journalled claim as a tester's value."""
    return SeenRecord(
        state=claim.state,
        devices=tuple(held_in(device) for device in claim.devices),
        remake=claim.remake,
        unseen=claim.unseen,
        waits=claim.ready_ahead,
    )


def held_by_name(name: str, gpus: Mapping[int, Gpu]) -> HeldDevice:
    """The device of that name on a node's GPUs by slot, worked out from the name alone. Raises InvalidInput."""
    parsed = parse_name(name)
    if parsed.kind is DeviceKind.MONITOR:
        return HeldDevice(name=name, kind=parsed.kind, gpu_uuids=(), admin=True)
    if parsed.kind is DeviceKind.GROUP:
        return HeldDevice(name=name, kind=parsed.kind, gpu_uuids=tuple(gpus[slot].uuid for slot in parsed.slots))
    (gpu,) = _with_label(parsed.pci_label, gpus.values())
    profiles = gpu.mig.profiles if gpu.mig else ()
    sizes = [profile.size for profile in profiles if profile.profile_id == parsed.profile_id]
    if parsed.start is not None and not sizes:
        raise InvalidInput(f"the GPU of {name} has no such profile")
    placement = None if parsed.start is None else Placement(parsed.start, sizes[0])
    return HeldDevice(
        name=name, kind=parsed.kind, gpu_uuids=(gpu.uuid,), profile_id=parsed.profile_id, placement=placement
    )


def is_tainted(keys: Iterable[str]) -> bool:
    """Whether a published device has, among the keys of its taints, any but that which every monitor has."""
    return any(key != MONITOR_TAINT_KEY for key in keys)


def _with_label(pci_label: str, gpus: Iterable[Gpu]) -> list[Gpu]:
    found = [gpu for gpu in gpus if gpu.pci_label == pci_label]
    if not found:
        raise InvalidInput(f"there is no GPU at {pci_label}")
    return found
