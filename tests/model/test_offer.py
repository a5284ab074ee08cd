"""The order in which devices are published is the placement policy inside a node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from partita_plugins.model.offer import DeviceKind, Offer, OfferedDevice, SlottedHardware, offered_devices, shape_of
from tests.model.conftest import EVERYTHING, slotted


def places(shape: str, devices: tuple[OfferedDevice, ...]) -> list[tuple[int, int]]:
    """(slot, start) of every partition of a shape, in order."""
    return [
        (device.slots[0], device.placement.start)
        for device in devices
        if device.profile and device.placement and shape_of(device.profile) == shape
    ]


H100 = offered_devices(slotted("hgx-h100"), EVERYTHING)


def test_whole_gpus_come_from_the_last_slot_down() -> None:
    assert [device.slots for device in H100[:8]] == [(slot,) for slot in range(7, -1, -1)]
    assert {device.kind for device in H100[:8]} == {DeviceKind.GPU}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("1g", [(slot, start) for slot in range(8) for start in (6, 5, 4, 3, 2, 1, 0)]),
        ("1g-double", [(slot, start) for slot in range(8) for start in (6, 4, 2, 0)]),
        ("2g", [(slot, start) for slot in range(8) for start in (4, 2, 0)]),
        ("3g", [(slot, start) for start in (4, 0) for slot in range(8)]),
        ("4g", [(slot, 0) for slot in range(8)]),
        ("7g", [(slot, 0) for slot in range(7, -1, -1)]),
    ],
)
def test_partitions_come_in_the_best_static_order(shape: str, expected: list[tuple[int, int]]) -> None:
    """The order that policy simulations found best, profile by profile."""
    assert places(shape, H100) == expected


@pytest.mark.parametrize(
    ("enabled", "kinds"),
    [(False, {DeviceKind.GPU, DeviceKind.SHARED, DeviceKind.GROUP}), (True, {DeviceKind.MIG})],
    ids=["off", "on"],
)
def test_a_gpu_that_needs_a_reset_is_offered_in_its_present_mode_alone(enabled: bool, kinds: set[DeviceKind]) -> None:
    ampere = slotted("dgx-a100-80", resetless=False)
    gpus = [replace(g, mig=g.mig and replace(g.mig, enabled=enabled, pending=enabled)) for g in ampere.hardware.gpus]
    node = replace(ampere, hardware=replace(ampere.hardware, gpus=tuple(gpus)))
    assert {device.kind for device in offered_devices(node, EVERYTHING)} == {*kinds, DeviceKind.MONITOR}


def test_on_one_gpu_large_partitions_come_before_small_ones() -> None:
    shapes = [shape_of(one.profile) for one in H100 if one.slots == (0,) and one.profile]
    assert list(dict.fromkeys(shapes)) == ["7g", "4g", "3g", "2g", "1g-double", "1g"]


def test_every_placement_of_every_plain_profile_is_offered_once(node: SlottedHardware) -> None:
    devices = offered_devices(node, EVERYTHING)
    for slot, gpu in node.gpus.items():
        profiles = [p for p in (gpu.mig.profiles if gpu.mig else ()) if p.enum in {0, 1, 2, 3, 4, 9}]
        expected = sorted((p.profile_id, start) for p in profiles for start in p.starts)
        found = sorted(
            (one.profile.profile_id, one.placement.start)
            for one in devices
            if one.slots == (slot,) and one.profile and one.placement
        )
        assert found == expected


def test_the_order_does_not_depend_on_discovery(node: SlottedHardware) -> None:
    """NVML's order changes over reboots; slots do not, and neither does the list."""
    last = len(node.hardware.gpus) - 1
    backwards = replace(
        node.hardware,
        gpus=node.hardware.gpus[::-1],
        links=tuple(replace(link, a=last - link.b, b=last - link.a) for link in node.hardware.links),
    )
    turned = SlottedHardware(hardware=backwards, slots=node.slots[::-1])
    assert offered_devices(turned, EVERYTHING) == offered_devices(node, EVERYTHING)


def test_nothing_is_offered_that_was_not_asked_for() -> None:
    node = slotted("hgx-h100")
    assert offered_devices(node, Offer(whole=False)) == ()
    only = offered_devices(node, Offer(whole=False, mig_shapes=frozenset({"3g"})))
    assert {shape_of(device.profile) for device in only if device.profile} == {"3g"}
    assert len(only) == 16
    assert {one.kind for one in offered_devices(slotted("l40s-x8"), EVERYTHING)} == {
        DeviceKind.GPU,
        DeviceKind.SHARED,
        DeviceKind.GROUP,
        DeviceKind.MONITOR,
    }


def test_the_monitor_comes_last_and_once_and_only_where_it_is_asked_for(node: SlottedHardware) -> None:
    *others, last = offered_devices(node, EVERYTHING)
    assert last == OfferedDevice(kind=DeviceKind.MONITOR, slots=())
    assert tuple(others) == offered_devices(node, replace(EVERYTHING, monitor=False))


def test_a_node_whose_gpus_are_all_lost_can_be_looked_at() -> None:
    lost = SlottedHardware(hardware=replace(slotted("a30-x4").hardware, gpus=(), links=()), slots=())
    assert [device.kind for device in offered_devices(lost, EVERYTHING)] == [DeviceKind.MONITOR]
