"""What published slices tell of a node whose journal was lost: no quarantine is forgotten, no slot changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partita_driver.engine.lost_journal.recall import published_faults, published_slots
from partita_driver.hardware.slots import give_slots, slotted
from partita_driver.health.faults import Cure, Fault, settled
from partita_driver.slices.pool import PoolInputs, Published, desired_pool
from partita_plugins.backends.catalog import machine
from partita_plugins.model.offer import Offer, SlottedHardware
from partita_plugins.wire.resource_slice import Device

SHAPES = ("1g", "1g-double", "2g", "3g", "4g", "7g")
TRAY = machine("gb200-tray", seed="n")
"""Four GPUs with an axis of eight memory slices."""

IN_ORDER = SlottedHardware(hardware=TRAY, slots=tuple(range(4)))
OFFERS = st.builds(
    Offer,
    whole=st.booleans(),
    mig_shapes=st.frozensets(st.sampled_from(SHAPES)),
    shared=st.booleans(),
    group_sizes=st.frozensets(st.sampled_from([2, 4])),
)


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    gpu = draw(st.sampled_from(TRAY.gpus))
    assert gpu.mig
    places = sorted({place for profile in gpu.mig.profiles for place in profile.placements})
    place = draw(st.none() | st.sampled_from(places))
    return Fault(
        gpu_uuid=gpu.uuid,
        reason=draw(st.sampled_from(["validation", "xid-79", "hung"])),
        message="",
        start=place.start if place else None,
        size=place.size if place else None,
        effect=draw(st.sampled_from(["NoExecute", "NoSchedule"])),
    )


def publish(offer: Offer, *found: Fault, node: SlottedHardware = IN_ORDER) -> dict[str, Device]:
    inputs = PoolInputs(node_name="n", node=node, offer=offer, faults=found)
    contents = desired_pool(inputs, Published(), frozenset())
    return {device.name: device for content in contents for device in content.devices}


def tainted(devices: dict[str, Device]) -> set[str]:
    return {name for name, device in devices.items() if device.taints}


UPPER_HALF = Fault(gpu_uuid=TRAY.gpus[0].uuid, reason="validation", message="", start=4, size=1)
PAIRS_AND_4G = Offer(whole=False, mig_shapes=frozenset({"4g"}), group_sizes=frozenset({2}))


@settings(max_examples=50)
@given(OFFERS, st.lists(faults(), max_size=4))
@example(PAIRS_AND_4G, [UPPER_HALF])
def test_every_device_that_was_quarantined_still_is(offer: Offer, known: list[Fault]) -> None:
    before = publish(offer, *known)
    recalled = published_faults(before.values(), IN_ORDER)
    assert tainted(before) <= tainted(publish(offer, *recalled))
    evident = {fault.gpu_uuid for fault in known}
    if offer.whole or offer.shared:
        assert {fault.gpu_uuid for fault in recalled} == evident, "and no healthy GPU is suspected"


@settings(max_examples=30)
@given(st.lists(faults(), min_size=1, max_size=1))
def test_of_one_fault_nothing_healthy_is_quarantined(known: list[Fault]) -> None:
    everything = Offer(whole=True, mig_shapes=frozenset(SHAPES), shared=True)
    before = publish(everything, *known)
    recalled = published_faults(before.values(), IN_ORDER)
    assert publish(everything, *recalled) == before


def test_the_fault_of_a_gpu_that_does_not_answer_finds_it_when_it_comes_back() -> None:
    partitions = Offer(whole=False, mig_shapes=frozenset({"3g"}))
    gpu = TRAY.gpus[2]
    published = publish(partitions, Fault(gpu_uuid=gpu.uuid, reason="gpu-lost", message=""))
    without = replace(TRAY, gpus=tuple(one for one in TRAY.gpus if one is not gpu), links=())
    [fault] = published_faults(published.values(), SlottedHardware(hardware=without, slots=(0, 1, 3)))
    assert fault.gpu_uuid == gpu.pci_bus_id, "partitions do not say their GPU's UUID"
    assert settled([fault], without.gpus, published_slots(published.values())) == (fault,)
    [found] = settled([fault], TRAY.gpus, ())
    assert found.gpu_uuid == gpu.uuid


def test_the_fault_of_a_gpu_that_does_not_answer_is_not_suspected_of_its_neighbours_in_a_group() -> None:
    gpu = TRAY.gpus[2]
    everything = Offer(group_sizes=frozenset({2, 4}))
    published = publish(everything, Fault(gpu_uuid=gpu.uuid, reason="gpu-lost", message=""))
    without = replace(TRAY, gpus=tuple(one for one in TRAY.gpus if one is not gpu), links=())
    [fault] = published_faults(published.values(), SlottedHardware(hardware=without, slots=(0, 1, 3)))
    assert fault.pci_bus_id == gpu.pci_bus_id


def test_the_time_of_a_quarantine_is_that_of_its_taint() -> None:
    published = publish(Offer(), Fault(gpu_uuid=TRAY.gpus[0].uuid, reason="xid-79", message=""))
    [name] = tainted(published)
    [taint] = published[name].taints
    stored = Device(name=name, taints=[type(taint)(key=taint.key, value="xid-79", time_added="2026-01-02T03:04:05Z")])
    [fault] = published_faults([stored], IN_ORDER)
    assert (fault.since, fault.effect) == (1767323045.0, "NoSchedule")


SINGLE = [Offer(), Offer(whole=False, shared=True), Offer(whole=False, mig_shapes=frozenset({"3g"}))]


@pytest.mark.parametrize(
    ("reason", "cure"),
    [("xid-79", Cure.REBOOT), ("gpu-lost", Cure.RESET), ("xid-9999", Cure.VALIDATION), ("validation", Cure.VALIDATION)],
)
def test_what_a_quarantine_needs_is_known_by_its_reason(reason: str, cure: Cure) -> None:
    published = publish(Offer(), Fault(gpu_uuid=TRAY.gpus[0].uuid, reason=reason, message=""))
    [fault] = published_faults(published.values(), IN_ORDER)
    assert fault.cure is cure


@settings(max_examples=30)
@given(st.permutations(range(4)), st.sampled_from(SINGLE))
def test_slots_are_read_from_the_counters(slots: list[int], offer: Offer) -> None:
    published = publish(offer, node=SlottedHardware(hardware=TRAY, slots=tuple(slots)))
    known = published_slots(published.values())
    assert slotted(give_slots(known, TRAY), TRAY).slots == tuple(slots)


@pytest.mark.parametrize("name", ["dgx-1v", "a30-x4", "hgx-h100"])
def test_slots_are_read_on_every_kind_of_machine(name: str) -> None:
    hardware = machine(name, seed="n")
    slots = tuple(reversed(range(len(hardware.gpus))))
    published = publish(Offer(), node=SlottedHardware(hardware=hardware, slots=slots))
    assert published_slots(published.values()) == dict(
        zip((gpu.pci_bus_id for gpu in hardware.gpus), slots, strict=True)
    )
