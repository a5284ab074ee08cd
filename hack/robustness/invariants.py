"""What must hold at every quiet moment, each under a name: the one file that the campaign and the simulation judge by.

INVARIANTS is the table; `violations(observation)` says what is broken. To add one, write a function from an
observation to sentences, one for each thing that is wrong, and a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from hack.robustness.hardware import (
    clients,
    exclude,
    instances,
    missing_hardware,
    nodes,
    owned,
    partition,
    shown,
    touches,
)
from hack.robustness.observation import Observation, Partition

from partita_driver.lifecycle import ClaimState


class Harm(StrEnum):
    """What a violation costs the user."""

    LEAKED = "leaked"
    """Hardware or a file that nobody can use and nobody gives back."""

    DOUBLE_BOOKED = "double-booked"
    """Two claims on the same hardware."""

    LOST = "lost"
    """A claim that its pod counts on, and that is not there."""

    UNSAFE = "unsafe"
    """A pod on hardware that failed."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """One promise and how it is checked."""

    name: str
    promise: str
    harm: Harm
    broken: Callable[[Observation], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise, in a sentence."""

    invariant: str
    harm: Harm
    found: str


def violations(seen: Observation, *, at_the_end: bool = False) -> tuple[Violation, ...]:
    """Everything that is wrong, in the order of the tables. At the end: faults are lifted, and all claims are gone."""
    table = (*INVARIANTS, *INVARIANTS_AT_THE_END) if at_the_end else INVARIANTS
    return tuple(Violation(one.name, one.harm, found) for one in table for found in one.broken(seen))


def partition_has_owner(seen: Observation) -> Iterator[str]:
    known = {one for one, _uid in owned(seen)} | seen.foreign
    for gpu, instance in instances(seen):
        if partition(gpu, instance) not in known:
            yield f"{shown(gpu, instance)} belongs to no record"


def partition_has_one_owner(seen: Observation) -> Iterator[str]:
    owners: dict[Partition, list[str]] = {}
    for one, uid in owned(seen):
        owners.setdefault(one, []).append(uid)
    for (gpu_uuid, profile_id, placement), uids in owners.items():
        if len(uids) > 1:
            place = f"profile {profile_id} at slice {placement.start} of {gpu_uuid}"
            yield f"{place} belongs to {' and '.join(sorted(uids))}"


def half_partition_is_journalled(seen: Observation) -> Iterator[str]:
    cut_short = {p for p, uid in owned(seen) if seen.records[uid].state in (ClaimState.INTENDED, ClaimState.UNDOING)}
    for gpu, instance in instances(seen):
        if not instance.compute_instances and partition(gpu, instance) not in cut_short | seen.foreign:
            yield f"{shown(gpu, instance)} has no compute instance, and no record says that it is being made or undone"


def record_has_claim(seen: Observation) -> Iterator[str]:
    if seen.allocated is None:
        return
    wanted = seen.allocated.keys() | seen.promises.keys() | seen.ending | seen.own
    for uid, record in seen.records.items():
        if uid not in wanted and record.state is not ClaimState.UNDOING:
            yield f"claim {uid} is {record.state} in the journal, and neither the API nor the kubelet knows it"


def record_has_hardware(seen: Observation) -> Iterator[str]:
    for uid, record in seen.records.items():
        waits = record.unseen or (record.state is ClaimState.INTENDED and record.remake)
        if record.state is ClaimState.UNDOING or waits:
            continue
        if record.state is not ClaimState.PREPARED and not record.waits:
            yield f"claim {uid} is {record.state}, although no call is in progress"
        yield from (f"claim {uid}: {missing}" for missing in missing_hardware(seen, record))


def promise_is_kept(seen: Observation) -> Iterator[str]:
    for uid, promise in seen.promises.items():
        record = seen.records.get(uid)
        if record is None:
            yield f"claim {uid} is prepared for the kubelet and not in the journal"
            continue
        if {one.name for one in record.devices} != {one.name for one in promise.devices}:
            yield f"claim {uid} has other devices in the journal than the kubelet was told"
        if promise.rebooted:
            continue
        if record.state is not ClaimState.PREPARED:
            yield f"claim {uid} is prepared for the kubelet and {record.state} in the journal"
        silent = any(seen.silent & set(device.gpu_uuids) for device in promise.devices)
        if uid not in seen.cdi and not silent:
            yield f"claim {uid} is prepared for the kubelet and has no CDI file"


def cdi_file_has_claim(seen: Observation) -> Iterator[str]:
    for uid in seen.cdi:
        record = seen.records.get(uid)
        if record is None or not (record.state is ClaimState.PREPARED or record.waits):
            yield f"the CDI file of claim {uid} is there, and the claim is {record.state if record else 'unknown'}"


def cdi_file_is_usable(seen: Observation) -> Iterator[str]:
    for uid, file in seen.cdi.items():
        if file.missing:
            yield f"the CDI file of claim {uid} names nodes that are not there: {', '.join(sorted(file.missing))}"
        record = seen.records.get(uid)
        needed = nodes(seen, record) if record else frozenset()
        if not needed <= file.nodes:
            yield f"the CDI file of claim {uid} lacks {', '.join(sorted(needed - file.nodes))}"


def claims_do_not_overlap(seen: Observation) -> Iterator[str]:
    books = {
        "the journal": {uid: record.devices for uid, record in seen.records.items()},
        "the kubelet": {uid: promise.devices for uid, promise in seen.promises.items()},
        "containers": seen.running,
    }
    for book, claims in books.items():
        held = [(uid, device) for uid, devices in claims.items() for device in devices if not device.admin]
        for (uid, one), (other_uid, other) in combinations(held, 2):
            if uid != other_uid and exclude(one, other):
                yield f"in {book} {one.name} of claim {uid} and {other.name} of claim {other_uid} overlap"


def time_slice_follows_clients(seen: Observation) -> Iterator[str]:
    for gpu in seen.gpus:
        shares = clients(seen, gpu.uuid)
        if any(state is ClaimState.UNDOING for _device, state in shares):
            continue
        wanted = {
            device.time_slice for device, state in shares if state in (ClaimState.CHECKED, ClaimState.PREPARED)
        } - {"Default"}
        if gpu.time_slice not in (wanted or {"Default"}):
            yield f"{gpu.uuid} has time slice {gpu.time_slice}, its clients want {', '.join(sorted(wanted)) or 'none'}"


def quarantined_is_not_handed_out(seen: Observation) -> Iterator[str]:
    for uid, promise in seen.promises.items():
        for device in promise.devices:
            if any(promise.told_at > one.since and touches(one, device) for one in seen.quarantines):
                yield f"{device.name} was handed to claim {uid} after it was quarantined"


def quarantined_is_tainted(seen: Observation) -> Iterator[str]:
    for name, device in (seen.published or {}).items():
        if not device.tainted and any(touches(one, device.held) for one in seen.quarantines):
            yield f"{name} is quarantined and published without a taint"


def allocated_is_published(seen: Observation) -> Iterator[str]:
    if seen.published is None or seen.allocated is None:
        return
    for uid, devices in seen.allocated.items():
        for device in devices:
            # With its slices wiped and its GPU silent since the start, nothing can be said of a device.
            if device.name not in seen.published and not seen.silent & set(device.gpu_uuids):
                yield f"{device.name} is allocated to claim {uid} and no longer published"


def nothing_remains(seen: Observation) -> Iterator[str]:
    for gpu, instance in instances(seen):
        if partition(gpu, instance) not in seen.foreign:
            yield f"{shown(gpu, instance)} is still there"
    yield from (f"claim {uid} is still {record.state} in the journal" for uid, record in seen.records.items())
    yield from (f"claim {uid} still has its CDI file" for uid in seen.cdi)
    yield from (f"{one.gpu_uuid} is still quarantined" for one in seen.quarantines)
    yield from (f"{name} is still tainted" for name, device in (seen.published or {}).items() if device.tainted)


INVARIANTS = (
    Invariant("partition-has-owner", "no partition is left behind", Harm.LEAKED, partition_has_owner),
    Invariant(
        "partition-has-one-owner", "no partition belongs to two claims", Harm.DOUBLE_BOOKED, partition_has_one_owner
    ),
    Invariant(
        "half-partition-is-journalled",
        "a GPU instance without compute instance is being made or undone",
        Harm.LEAKED,
        half_partition_is_journalled,
    ),
    Invariant("record-has-claim", "nothing is kept for a claim that is gone", Harm.LEAKED, record_has_claim),
    Invariant("record-has-hardware", "a claim has its hardware, or is being undone", Harm.LOST, record_has_hardware),
    Invariant("promise-is-kept", "what the kubelet was told is prepared is prepared", Harm.LOST, promise_is_kept),
    Invariant("cdi-file-has-claim", "no CDI file is left behind", Harm.LEAKED, cdi_file_has_claim),
    Invariant(
        "cdi-file-is-usable", "a CDI file names its claim's device nodes, and they exist", Harm.LOST, cdi_file_is_usable
    ),
    Invariant("claims-do-not-overlap", "no hardware is held twice", Harm.DOUBLE_BOOKED, claims_do_not_overlap),
    Invariant(
        "time-slice-follows-clients",
        "a GPU has its clients' time slice, and the default without any",
        Harm.LEAKED,
        time_slice_follows_clients,
    ),
    Invariant(
        "quarantined-is-not-handed-out",
        "failed hardware goes to nobody while it is quarantined",
        Harm.UNSAFE,
        quarantined_is_not_handed_out,
    ),
    Invariant(
        "quarantined-is-tainted", "every device on failed hardware is tainted", Harm.UNSAFE, quarantined_is_tainted
    ),
    Invariant("allocated-is-published", "an allocated device is never withdrawn", Harm.LOST, allocated_is_published),
)
"""What holds at every quiet moment."""

INVARIANTS_AT_THE_END = (
    Invariant("nothing-remains", "what was made for claims is gone with them", Harm.LEAKED, nothing_remains),
)
"""What holds once all claims are gone and all faults are lifted."""
