"""What is published stays inside the API's limits, for every machine and whatever the slots."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from partita_plugins.backends import catalog
from partita_plugins.model.offer import SlottedHardware, offered_devices
from partita_plugins.model.quantity import parse_quantity
from partita_plugins.wire import MONITOR_TAINT_KEY
from partita_plugins.wire.device_names import MONITOR_NAME
from partita_plugins.wire.offer import encode_counter_sets, encode_device
from partita_plugins.wire.resource_slice import MAX_COUNTER_SETS_PER_SLICE, Device
from tests.model.conftest import EVERYTHING, slotted

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
QUALIFIED = re.compile(r"([a-z0-9.-]{1,63}/)?[A-Za-z_][A-Za-z0-9_]{0,31}")
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


@st.composite
def nodes(draw: st.DrawFn) -> SlottedHardware:
    """A machine whose GPUs sit anywhere among sixteen slots."""
    name = draw(st.sampled_from(catalog.names()))
    count = len(catalog.machine(name).gpus)
    slots = draw(st.lists(st.integers(0, 15), min_size=count, max_size=count, unique=True))
    return slotted(name, tuple(slots))


@settings(max_examples=40)
@given(nodes())
def test_devices_are_valid_whatever_the_slots(node: SlottedHardware) -> None:
    devices = [encode_device(one, node) for one in offered_devices(node, EVERYTHING)]
    names = [device.name for device in devices]
    assert len(set(names)) == len(names)
    assert all(DNS_LABEL.fullmatch(name) for name in names)
    totals = {one.name: {key: int(v.value) for key, v in one.counters.items()} for one in encode_counter_sets(node)}
    for device in devices:
        _check_attributes(device)
        if device.name != MONITOR_NAME:
            _check_counters(device, totals)


def test_a_monitor_fits_beside_anything_and_only_on_purpose() -> None:
    *_, monitor = (encode_device(one, slotted("hgx-h100")) for one in offered_devices(slotted("hgx-h100"), EVERYTHING))
    assert monitor.name == MONITOR_NAME
    assert monitor.consumes_counters == []
    assert monitor.capacity == {}
    assert monitor.allow_multiple_allocations is None
    assert [(taint.key, taint.effect) for taint in monitor.taints] == [(MONITOR_TAINT_KEY, "NoSchedule")]


def _check_attributes(device: Device) -> None:
    assert len(device.attributes) + len(device.capacity) <= 32
    assert "type" in device.attributes
    for key, attribute in device.attributes.items():
        assert QUALIFIED.fullmatch(key), key
        given_values = [attribute.bool_, attribute.int_, attribute.string, attribute.version]
        assert sum(value is not None for value in given_values) == 1, key
        assert len(attribute.string or "") <= 64, (key, attribute.string)
        assert attribute.version is None or SEMVER.fullmatch(attribute.version), (key, attribute.version)


def _check_counters(device: Device, totals: dict[str, dict[str, int]]) -> None:
    assert 1 <= len(device.consumes_counters) <= 2
    assert len({one.counter_set for one in device.consumes_counters}) == len(device.consumes_counters)
    for consumed in device.consumes_counters:
        assert len(consumed.counters) <= 32
        for key, counter in consumed.counters.items():
            assert 0 < int(counter.value) <= totals[consumed.counter_set][key]


@settings(max_examples=40)
@given(nodes())
def test_counter_sets_are_at_most_two_of_thirty_two(node: SlottedHardware) -> None:
    sets = encode_counter_sets(node)
    assert len(sets) <= 2 <= MAX_COUNTER_SETS_PER_SLICE
    assert all(0 < len(one.counters) <= 32 for one in sets)
    assert all(DNS_LABEL.fullmatch(key) for one in sets for key in (one.name, *one.counters))
    assert {key.split("p")[0] for one in sets for key in one.counters} == {f"g{slot}" for slot in node.slots}


@settings(max_examples=40)
@given(nodes())
def test_shared_capacity_can_be_requested(node: SlottedHardware) -> None:
    """Every capacity of a shared GPU has a default, and the step divides default - min and max - min."""
    for device in (encode_device(one, node) for one in offered_devices(node, EVERYTHING)):
        if not device.allow_multiple_allocations:
            continue
        assert device.capacity
        for key, capacity in device.capacity.items():
            policy = capacity.request_policy
            assert policy is not None, key
            assert policy.default is not None, key
            assert policy.valid_range is not None, key
            low, high, step, default = (
                parse_quantity(text or "0")
                for text in (policy.valid_range.min, policy.valid_range.max, policy.valid_range.step, policy.default)
            )
            assert low <= default <= high <= parse_quantity(capacity.value)
            assert (default - low) % step == (high - low) % step == 0
