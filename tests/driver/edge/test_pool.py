"""What a node publishes, as a function of hardware, settings and faults."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_driver.runtime import THREADS
from partita_driver.slices.contents import Features, SliceContent, slice_name
from partita_driver.slices.pool import (
    PoolInputs,
    Published,
    desired_pool,
    devices_to_offer,
    faults_of,
)
from partita_driver.slices.withdrawals import Withdrawals
from partita_plugins.backends.catalog import machine, names
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind, Offer, OfferedDevice, SlottedHardware
from partita_plugins.wire import FAULT_TAINT_KEY, MONITOR_TAINT_KEY, WITHDRAWN_TAINT_KEY
from partita_plugins.wire.device_names import format_name
from partita_plugins.wire.resource_slice import Device
from tests.driver.edge.worlds import ALL_SHAPES, MIXED, NODE, fault_on, inputs_of, slotted, without_gpu

EVERYTHING = Offer(whole=True, mig_shapes=ALL_SHAPES, shared=True, group_sizes=frozenset({2, 4, 8}), monitor=True)
H100 = slotted("hgx-h100")


def devices_of(contents: tuple[SliceContent, ...]) -> list[Device]:
    return [device for content in contents for device in content.devices]


def pool(inputs: PoolInputs, held: frozenset[str] = frozenset(), published: Published | None = None) -> list[Device]:
    return devices_of(desired_pool(inputs, published or Published(), held))


def published_as(inputs: PoolInputs) -> Published:
    contents = desired_pool(inputs, Published(), frozenset())
    counters = tuple(entry for content in contents for entry in content.counters)
    return Published(devices={device.name: device for device in devices_of(contents)}, counters=counters)


@pytest.mark.parametrize("name", names())
def test_every_machine_fits_the_limits_of_slices(name: str) -> None:
    contents = desired_pool(inputs_of(slotted(name), EVERYTHING), Published(), frozenset())
    assert [content.name for content in contents] == [slice_name(NODE, index) for index in range(len(contents))]
    assert sorted(content.name for content in contents) == [content.name for content in contents]
    for content in contents:
        assert not (content.counters and content.devices), "the API takes one or the other"
        assert len(content.devices) <= 64
        assert len(content.counters) <= 8
        assert all(len(entry.counters) <= 32 for entry in content.counters)
    devices = devices_of(contents)
    assert len({device.name for device in devices}) == len(devices)
    known = {(entry.name, counter) for content in contents for entry in content.counters for counter in entry.counters}
    used = {(c.counter_set, name) for device in devices for c in device.consumes_counters for name in c.counters}
    assert used <= known


def test_sixteen_gpus_with_everything_offered_take_two_counter_sets_and_no_device_more_than_both() -> None:
    """No machine with MIG has so many: two of eight, joined."""
    one, two = slotted("hgx-h100"), machine("hgx-h100", seed="another")
    gpus = tuple(replace(gpu, pci_bus_id=gpu.pci_bus_id.replace("0000:", "0001:")) for gpu in two.gpus)
    both = one.hardware.with_remembered(replace(two, gpus=gpus), {gpu.uuid for gpu in gpus})
    inputs = inputs_of(SlottedHardware(hardware=both, slots=tuple(range(16))), EVERYTHING)
    first, *others = desired_pool(inputs, Published(), frozenset())
    assert [(entry.name, len(entry.counters)) for entry in first.counters] == [("gpus", 32), ("gpus-8", 32)]
    devices = [device for content in others for device in content.devices]
    assert max(len(device.consumes_counters) for device in devices) <= 2
    assert sum(1 for device in devices if device.name.startswith("group-")) == 8 + 4 + 2
    assert all(len(content.devices) <= 64 for content in others)


@pytest.mark.parametrize("machine_name", names())
def test_a_device_of_a_gpu_that_is_gone_never_makes_the_pool_invalid(machine_name: str) -> None:
    """Its slice is there, that with the counters was wiped, and the driver remembers nothing."""
    node = slotted(machine_name)
    everything = pool(inputs_of(node, EVERYTHING))
    gone = min(node.slots)
    lost = {one.name: one for one in everything if any(f"g{gone}p0" in c.counters for c in one.consumes_counters)}
    contents = desired_pool(inputs_of(without_gpu(node, gone), EVERYTHING), Published(devices=lost), frozenset(lost))
    known = {(entry.name, name) for content in contents for entry in content.counters for name in entry.counters}
    used = {(c.counter_set, name) for one in devices_of(contents) for c in one.consumes_counters for name in c.counters}
    assert lost.keys() <= {one.name for one in devices_of(contents)}
    assert used <= known


def test_a_node_without_gpus_still_publishes_one_slice() -> None:
    empty = SlottedHardware(hardware=replace(H100.hardware, gpus=(), links=()), slots=())
    contents = desired_pool(inputs_of(empty, MIXED), Published(), frozenset())
    assert [(len(content.devices), content.counters) for content in contents] == [(0, ())]


def overlaps(device: OfferedDevice, slot: int, placement: Placement | None) -> bool:
    """Hardware overlap, slice by slice."""
    mine = set(range(device.placement.start, device.placement.end)) if device.placement else set(range(16))
    faulty = set(range(placement.start, placement.end)) if placement else set(range(16))
    return slot in device.slots and bool(mine & faulty)


MACHINES = {name: slotted(name) for name in names()}

faulty_parts = st.tuples(
    st.integers(0, 15),
    st.none() | st.sampled_from([Placement(start, size) for size in (1, 2, 4, 8) for start in range(0, 12, size)]),
    st.sampled_from(["NoExecute", "NoSchedule"]),
)


@settings(max_examples=60)
@given(st.sampled_from(sorted(MACHINES)), st.lists(faulty_parts, max_size=4))
def test_a_fault_taints_every_device_that_overlaps_it_and_no_other(
    machine: str, broken: list[tuple[int, Placement | None, str]]
) -> None:
    node = MACHINES[machine]
    broken = [(slot % len(node.slots), place, effect) for slot, place, effect in broken]
    faults = [
        fault_on(node, slot, effect=effect, start=place and place.start, size=place and place.size)
        for slot, place, effect in broken
    ]
    inputs = inputs_of(node, EVERYTHING, *faults)
    published = {device.name: device for device in pool(inputs)}
    for device in devices_to_offer(inputs):
        wanted = {effect for slot, place, effect in broken if overlaps(device, slot, place)}
        found = published[format_name(device, node.gpus)].taints
        taints = [taint for taint in found if taint.key != MONITOR_TAINT_KEY]
        assert {taint.effect for taint in taints} == wanted
        assert len(taints) == len(wanted)
        assert {taint.key for taint in taints} <= {FAULT_TAINT_KEY}


def test_the_oldest_fault_names_the_taint() -> None:
    faults = [fault_on(H100, 0, reason="xid-79", since=20.0), fault_on(H100, 0, reason="validation", since=10.0)]
    [whole] = [device for device in pool(inputs_of(H100, MIXED, *faults)) if device.taints][:1]
    assert whole.taints[0].value == "validation"


def test_a_held_device_stays_as_it_was_published_and_takes_no_new_claim() -> None:
    before = published_as(inputs_of(H100, MIXED))
    partition = next(name for name in before.devices if "-mig-" in name)
    narrow = inputs_of(H100, Offer(whole=True))
    kept = {device.name: device for device in pool(narrow, frozenset({partition}), before)}
    assert partition in kept
    assert [(taint.key, taint.effect) for taint in kept[partition].taints] == [(WITHDRAWN_TAINT_KEY, "NoSchedule")]
    assert kept[partition].consumes_counters == before.devices[partition].consumes_counters
    assert len(kept) == 9


def test_a_held_device_is_published_again_after_a_wipe() -> None:
    """A kubelet restart deletes the slices; the device's name is enough to say what it was."""
    before = published_as(inputs_of(H100, MIXED))
    partition = next(name for name in before.devices if "-mig-" in name)
    kept = {device.name: device for device in pool(inputs_of(H100, Offer(whole=True)), frozenset({partition}))}
    assert kept[partition].consumes_counters == before.devices[partition].consumes_counters
    assert kept[partition].capacity == before.devices[partition].capacity


def test_a_device_of_a_lost_gpu_keeps_its_counters_and_has_the_gpu_s_fault() -> None:
    before = published_as(inputs_of(H100, MIXED))
    lost = f"gpu-{H100.gpus[3].pci_label}"
    inputs = inputs_of(without_gpu(H100, 3), MIXED, fault_on(H100, 3, reason="gpu-lost"))
    contents = desired_pool(inputs, before, frozenset({lost}))
    kept = {device.name: device for device in devices_of(contents)}
    assert {taint.key for taint in kept[lost].taints} == {FAULT_TAINT_KEY, WITHDRAWN_TAINT_KEY}
    assert sum(1 for device in kept.values() if device.taints) == 1
    assert "g3p0" in contents[0].counters[0].counters


def test_a_group_with_a_lost_member_has_the_faults_of_those_that_are_left() -> None:
    inputs = inputs_of(without_gpu(H100, 1), MIXED, fault_on(H100, 0))
    assert faults_of("group-2-0-1", inputs, {}) == list(inputs.faults)
    assert faults_of("group-2-2-3", inputs, {}) == []


def test_a_held_group_that_is_paired_no_more_has_its_members_faults_and_nobody_else_s() -> None:
    """With GPU 0 lost the groups are others, but one that a claim holds is still there, and sound."""
    node = without_gpu(H100, 0)
    inputs = inputs_of(node, MIXED, fault_on(H100, 0, reason="gpu-lost"), fault_on(H100, 3))
    assert [fault.reason for fault in faults_of("group-2-2-3", inputs, {})] == ["validation"]
    assert faults_of("group-2-4-5", inputs, {}) == []
    assert [fault.reason for fault in faults_of("group-2-0-1", inputs, {})] == ["gpu-lost"]


def test_slices_that_somebody_else_took_are_not_offered() -> None:
    inputs = replace(inputs_of(H100, EVERYTHING), foreign=frozenset({(2, Placement(0, 4))}))
    for device in devices_to_offer(inputs):
        assert not overlaps(device, 2, Placement(0, 4))
    assert any(device.kind is DeviceKind.MIG and device.slots == (2,) for device in devices_to_offer(inputs))


@pytest.mark.parametrize("name", names())
def test_without_counters_no_two_devices_overlap(name: str) -> None:
    inputs = replace(inputs_of(slotted(name), EVERYTHING), features=Features(counters=False))
    devices = devices_to_offer(inputs)
    for index, device in enumerate(devices):
        for other in devices[index + 1 :]:
            assert not any(overlaps(other, slot, device.placement) for slot in device.slots)
    contents = desired_pool(inputs, Published(), frozenset())
    assert not any(content.counters for content in contents)
    assert not any(device.consumes_counters for device in devices_of(contents))


def test_without_taints_a_faulty_device_is_not_offered() -> None:
    inputs = replace(inputs_of(H100, Offer(), fault_on(H100, 5)), features=Features(taints=False))
    assert {slot for device in devices_to_offer(inputs) for slot in device.slots} == {0, 1, 2, 3, 4, 6, 7}


def test_long_node_names_give_distinct_names_in_order() -> None:
    base = "n" * 246
    made = [slice_name(f"{base}{end}", index) for end in "ab" for index in range(3)]
    assert len(set(made)) == 6
    assert all(len(name) <= 253 for name in made)
    assert made[:3] == sorted(made[:3])


def settled(inputs: PoolInputs, listed: list[str], withdrawals: Withdrawals | None = None) -> set[str]:
    """Names of the pool that a round decides on, for a driver that knows no slices."""
    standing = (withdrawals or Withdrawals(lambda: frozenset(listed), 30.0, THREADS)).settle(inputs, Published())
    return {device.name for device in pool(standing.inputs, standing.held)}


def test_what_is_left_of_an_allocated_group_with_a_lost_gpu_is_not_offered_to_others() -> None:
    """Wiped slices and a new driver: nothing can be published of the group, and nothing beside it."""
    inputs = inputs_of(without_gpu(H100, 1), MIXED)
    left, other = (f"gpu-{H100.gpus[slot].pci_label}" for slot in (0, 2))
    assert not [name for name in settled(inputs, ["group-2-0-1"]) if name.startswith(left)]
    assert {left, other} <= settled(inputs, [])


def test_an_allocated_device_is_found_again_when_its_gpu_is() -> None:
    """It is no longer offered, and was unknown while its GPU was lost."""
    held = next(name for name in published_as(inputs_of(H100, MIXED)).devices if "-mig-" in name)
    withdrawals, narrow = Withdrawals(lambda: frozenset({held}), 30.0, THREADS), Offer(whole=True)
    for node, there in ((without_gpu(H100, 0), False), (H100, True)):
        assert (held in settled(inputs_of(node, narrow), [], withdrawals)) == there
        withdrawals.published()
