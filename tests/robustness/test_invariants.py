"""Each invariant holds for a healthy node, and fails when the one thing that it watches is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hack.robustness.invariants import INVARIANTS, violations
from hack.robustness.observation import (
    HeldDevice,
    Observation,
    Promise,
    Quarantine,
    SeenCdi,
    SeenDevice,
    SeenGpu,
    SeenInstance,
    SeenRecord,
    held_by_name,
)

from partita_driver.lifecycle import ClaimState
from partita_plugins.backends import catalog
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind

GPU, SHARED_GPU, SPARE_GPU = "GPU-0", "GPU-1", "GPU-2"
THREE = HeldDevice(name="3g", kind=DeviceKind.MIG, gpu_uuids=(GPU,), profile_id=9, placement=Placement(4, 4))
ONE = HeldDevice(name="1g", kind=DeviceKind.MIG, gpu_uuids=(GPU,), profile_id=19, placement=Placement(0, 1))
SHARE = HeldDevice(name="shared", kind=DeviceKind.SHARED, gpu_uuids=(SHARED_GPU,), time_slice="Short")
WHOLE = HeldDevice(name="whole", kind=DeviceKind.GPU, gpu_uuids=(SPARE_GPU,))
MONITOR = held_by_name("monitor", {})
NODES = frozenset({"/dev/nvidia0"})
HELD = {"a": THREE, "b": ONE, "c": SHARE, "d": SHARE}


def gpu(uuid: str, **fields: object) -> SeenGpu:
    return replace(SeenGpu(uuid=uuid, nodes=NODES), **fields)  # type: ignore[arg-type]


def instance(device: HeldDevice, compute_instances: int = 1) -> SeenInstance:
    assert device.profile_id is not None
    assert device.placement is not None
    return SeenInstance(
        profile_id=device.profile_id,
        placement=device.placement,
        compute_instances=compute_instances,
        nodes=frozenset({f"/dev/cap-{device.name}"}),
    )


CUT = gpu(GPU, mig_enabled=True, instances=(instance(THREE), instance(ONE)))
HEALTHY = Observation(
    gpus=(CUT, gpu(SHARED_GPU, time_slice="Short"), gpu(SPARE_GPU)),
    records={uid: SeenRecord(state=ClaimState.PREPARED, devices=(one,)) for uid, one in HELD.items()},
    cdi={uid: SeenCdi(nodes=NODES | {f"/dev/cap-{one.name}"}) for uid, one in HELD.items()},
    promises={uid: Promise(devices=(one,), told_at=1.0) for uid, one in HELD.items()},
    allocated={uid: (one,) for uid, one in HELD.items()},
    published={one.name: SeenDevice(held=one) for one in (THREE, ONE, SHARE, WHOLE)},
)

Mutation = Callable[[Observation], Observation]


def without(observation: Observation, field: str, key: str) -> Observation:
    rest = {uid: one for uid, one in getattr(observation, field).items() if uid != key}
    return replace(observation, **{field: rest})  # type: ignore[arg-type]


def with_record(seen: Observation, uid: str, **fields: object) -> Observation:
    record = replace(seen.records.get(uid, seen.records["a"]), **fields)  # type: ignore[arg-type]
    return replace(seen, records={**seen.records, uid: record})


def with_gpu(seen: Observation, changed: SeenGpu) -> Observation:
    return replace(seen, gpus=tuple(changed if one.uuid == changed.uuid else one for one in seen.gpus))


def with_quarantine(seen: Observation, uuid: str, *, since: float) -> Observation:
    return replace(seen, quarantines=(Quarantine(gpu_uuid=uuid, since=since),))


def tainted(seen: Observation, name: str) -> Observation:
    published = dict(seen.published or {})
    return replace(seen, published={**published, name: replace(published[name], tainted=True)})


def with_cdi(seen: Observation, uid: str, file: SeenCdi) -> Observation:
    return replace(seen, cdi={**seen.cdi, uid: file})


BROKEN: list[tuple[str, Mutation]] = [
    ("partition-has-owner", lambda seen: without(seen, "records", "a")),
    ("partition-has-one-owner", lambda seen: with_record(seen, "b", devices=(THREE,))),
    (
        "half-partition-is-journalled",
        lambda s: with_gpu(s, replace(CUT, instances=(instance(THREE, 0), instance(ONE)))),
    ),
    ("record-has-claim", lambda seen: with_record(seen, "nobody", devices=(WHOLE,))),
    ("record-has-hardware", lambda seen: with_gpu(seen, replace(CUT, instances=(instance(THREE),)))),
    ("record-has-hardware", lambda seen: with_record(seen, "d", state=ClaimState.INTENDED)),
    ("record-has-hardware", lambda seen: with_gpu(seen, gpu(SHARED_GPU, time_slice="Short", mig_enabled=True))),
    ("promise-is-kept", lambda seen: without(seen, "records", "c")),
    ("promise-is-kept", lambda seen: without(seen, "cdi", "c")),
    ("promise-is-kept", lambda seen: with_record(seen, "c", devices=(WHOLE,))),
    ("promise-is-kept", lambda seen: with_record(seen, "c", state=ClaimState.UNDOING)),
    ("cdi-file-has-claim", lambda seen: with_cdi(seen, "nobody", SeenCdi(nodes=NODES))),
    ("cdi-file-is-usable", lambda seen: with_cdi(seen, "c", SeenCdi(nodes=NODES, missing=NODES))),
    ("cdi-file-is-usable", lambda seen: with_cdi(seen, "a", SeenCdi(nodes=NODES))),
    ("claims-do-not-overlap", lambda seen: with_record(seen, "b", devices=(replace(ONE, placement=Placement(4, 1)),))),
    ("claims-do-not-overlap", lambda seen: with_record(seen, "b", devices=(replace(WHOLE, gpu_uuids=(GPU,)),))),
    ("claims-do-not-overlap", lambda seen: with_record(seen, "e", devices=(replace(WHOLE, gpu_uuids=(SHARED_GPU,)),))),
    ("claims-do-not-overlap", lambda s: replace(s, promises={**s.promises, "e": Promise(devices=(THREE,))})),
    ("time-slice-follows-clients", lambda seen: with_gpu(seen, gpu(SHARED_GPU, time_slice="Default"))),
    ("time-slice-follows-clients", lambda seen: with_gpu(seen, gpu(SPARE_GPU, time_slice="Long"))),
    ("quarantined-is-not-handed-out", lambda seen: with_quarantine(seen, GPU, since=0.5)),
    ("quarantined-is-tainted", lambda seen: with_quarantine(seen, SPARE_GPU, since=2.0)),
    ("allocated-is-published", lambda seen: without(seen, "published", "3g")),
]


def test_a_healthy_node_breaks_nothing() -> None:
    assert violations(HEALTHY) == ()


def test_every_invariant_is_shown_to_fail() -> None:
    assert {name for name, _mutation in BROKEN} == {one.name for one in INVARIANTS}
    assert len({one.name for one in INVARIANTS}) == len(INVARIANTS)


@pytest.mark.parametrize(("name", "mutation"), BROKEN)
def test_one_thing_changed_breaks_the_invariant_that_watches_it(name: str, mutation: Mutation) -> None:
    assert name in {one.invariant for one in violations(mutation(HEALTHY))}


def test_what_waits_for_its_replay_after_a_reboot_breaks_nothing() -> None:
    seen = with_record(HEALTHY, "a", state=ClaimState.INTENDED, remake=True)
    seen = with_gpu(seen, replace(CUT, instances=(instance(ONE),)))
    seen = without(seen, "cdi", "a")
    promises = {**seen.promises, "a": replace(seen.promises["a"], rebooted=True)}
    assert violations(replace(seen, promises=promises)) == ()


def test_what_could_not_be_undone_yet_breaks_nothing() -> None:
    seen = with_record(HEALTHY, "a", state=ClaimState.UNDOING)
    seen = with_gpu(seen, replace(CUT, instances=(instance(THREE, 0), instance(ONE))))
    for field in ("cdi", "promises", "allocated"):
        seen = without(seen, field, "a")
    assert violations(seen) == ()


def test_a_partition_that_somebody_else_made_breaks_nothing() -> None:
    partition = THREE.partition
    assert partition is not None
    foreign = replace(HEALTHY, foreign=frozenset({partition}))
    for field in ("records", "cdi", "promises", "allocated"):
        foreign = without(foreign, field, "a")
    assert violations(foreign) == ()


def test_admin_access_owns_nothing() -> None:
    seen = with_record(HEALTHY, "e", devices=(replace(THREE, admin=True),))
    assert violations(replace(seen, own=frozenset({"e"}))) == ()


def test_a_monitor_beside_those_who_hold_the_gpus_is_no_double_booking() -> None:
    """Handed out while a GPU is quarantined, too, and published without the taint of the fault."""
    seen = with_cdi(with_record(HEALTHY, "e", devices=(MONITOR,)), "e", SeenCdi(nodes=NODES))
    seen = tainted(with_quarantine(seen, SPARE_GPU, since=2.0), "whole")
    seen = replace(
        seen,
        promises={**seen.promises, "e": Promise(devices=(MONITOR,), told_at=3.0)},
        running={"a": (THREE,), "e": (MONITOR,)},
        allocated={**(seen.allocated or {}), "e": (MONITOR,)},
        published={**(seen.published or {}), "monitor": SeenDevice(held=MONITOR)},
    )
    assert violations(seen) == ()


def test_a_monitor_lacks_the_nodes_of_no_gpu() -> None:
    blind = with_cdi(with_record(HEALTHY, "e", devices=(MONITOR,)), "e", SeenCdi(nodes=frozenset()))
    found = violations(replace(blind, own=frozenset({"e"})))
    assert [one.invariant for one in found] == ["cdi-file-is-usable"]


def test_a_claim_prepared_before_the_fault_stays_prepared() -> None:
    seen = tainted(tainted(with_quarantine(HEALTHY, GPU, since=2.0), "3g"), "1g")
    assert violations(seen) == ()


def test_a_device_name_tells_its_hardware() -> None:
    gpus = dict(enumerate(catalog.machine("hgx-h100", "node-a").gpus))
    label = gpus[1].pci_label
    three = held_by_name(f"gpu-{label}-mig-3g-9-4", gpus)
    assert (three.partition, three.kind) == ((gpus[1].uuid, 9, Placement(4, 4)), DeviceKind.MIG)
    assert held_by_name(f"gpu-{label}-shared", gpus).kind is DeviceKind.SHARED
    assert held_by_name("group-2-0-1", gpus).gpu_uuids == (gpus[0].uuid, gpus[1].uuid)
