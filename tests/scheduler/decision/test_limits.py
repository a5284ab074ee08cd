"""Counters, capacity, constraints and taints."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from partita_plugins.model.quantity import parsed
from partita_plugins.wire.resource_slice import Capacity
from partita_scheduler.allocator import capacity
from partita_scheduler.allocator.in_use import PoolUse
from partita_scheduler.allocator.result import Abort
from partita_scheduler.allocator.rules import rules_for
from tests.scheduler.decision.small import allocate, counters, device, plan, request, slice_of, string

ONE = plan(request())


def test_counters_keep_overlapping_devices_apart() -> None:
    slices = [
        counters(c=2),
        slice_of("1", device("half-a", {"c": 1}), device("whole", {"c": 2}), device("half-b", {"c": 1}), count=2),
    ]
    assert allocate(slices, plan(request(count=2))) == [["half-a", "half-b"]]
    assert allocate(slices, ONE, use=PoolUse(frozenset({"whole"}))) is None
    assert allocate(slices, ONE, use=PoolUse(frozenset({"half-a"}))) == [["half-b"]]


def test_an_overdrawn_counter_blocks_every_counted_device() -> None:
    slices = [
        counters(c=1, d=1),
        slice_of("1", device("a", {"c": 1}), device("b", {"c": 1}), device("free", {"d": 1}), device("plain"), count=2),
    ]
    assert allocate(slices, ONE, use=PoolUse(frozenset({"a", "b"}))) == [["plain"]]


def test_a_counter_that_is_not_there_makes_the_pool_invalid() -> None:
    assert allocate([counters(c=1), slice_of("1", device("a", {"d": 1}), count=2)], ONE) is None


def test_what_other_nodes_hold_of_a_pools_counters_is_missing_here() -> None:
    here = [counters(count=3, c=2), slice_of("1", device("x", {"c": 2}), count=3)]
    there = slice_of("2", device("y", {"c": 1}), count=3, nodeName="m")
    assert allocate(here, ONE, elsewhere=[there]) == [["x"]]
    assert allocate(here, ONE, elsewhere=[there], use=PoolUse(frozenset({"y"}))) is None


@pytest.mark.parametrize(("minor", "expected"), [(36, None), (37, [["x", "y"]])])
def test_counters_of_pools_with_one_name_are_mixed_up_before_1_37(minor: int, expected: object) -> None:
    slices = [
        counters("c1", c=1),
        slice_of("1", device("x", {"c": 1}), count=2),
        counters("c2", driver="other.example.com", c=1),
        slice_of("2", device("y", {"c": 1}), count=2, driver="other.example.com"),
    ]
    assert allocate(slices, plan(request(count=2)), minor=minor) == expected


def shared(name: str, **more: Any) -> dict[str, Any]:
    memory = {
        "value": "8Gi",
        "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "max": "8Gi", "step": "1Gi"}},
    }
    return device(name, more.pop("consumes", None), allowMultipleAllocations=True, capacity={"memory": memory}, **more)


def share(amount: str) -> dict[str, Any]:
    return request(capacity={"requests": {"memory": amount}})


def held(amount: str) -> PoolUse:
    return PoolUse(shares={"x": {"memory": parsed(amount)}}, counted=frozenset({"x"}))


def test_shares_add_up_and_the_next_device_takes_the_rest() -> None:
    slices = [slice_of("1", shared("x"), shared("y"))]
    assert allocate(slices, plan(share("5Gi")), plan(share("3Gi")), plan(share("1Gi"))) == [["x"], ["x"], ["y"]]
    assert allocate(slices, plan(share("5Gi")), use=held("4Gi")) == [["y"]]


def test_one_request_never_takes_two_shares_of_one_device() -> None:
    slices = [slice_of("1", shared("x"), shared("y"))]
    assert allocate(slices, plan(request(count=2))) == [["x", "y"]]
    assert allocate(slices, plan(request(count=3))) is None


def test_a_shared_device_pays_its_counters_once() -> None:
    slices = [counters(c=2), slice_of("1", shared("x", consumes={"c": 2}), device("whole", {"c": 2}), count=2)]
    assert allocate(slices, plan(share("1Gi")), plan(share("1Gi"))) == [["x"], ["x"]]
    assert allocate(slices, plan(share("1Gi")), plan(request("w", count=1)), use=held("8Gi")) is None
    assert allocate(slices, plan(share("1Gi")), use=PoolUse(frozenset({"whole"}))) is None


@pytest.mark.parametrize(("minor", "expected"), [(36, None), (37, [["x"]])])
def test_a_share_without_capacity_pays_again_before_1_37(minor: int, expected: object) -> None:
    bare = device("x", {"c": 1}, allowMultipleAllocations=True)
    use = PoolUse(shares={"x": {}})
    assert allocate([counters(c=1), slice_of("1", bare, count=2)], ONE, use=use, minor=minor) == expected


RANGE = {"value": "10", "requestPolicy": {"default": "2", "validRange": {"min": "2", "max": "9", "step": "2"}}}
VALUES = {"value": "10", "requestPolicy": {"default": "1", "validValues": ["1", "4"]}}


@pytest.mark.parametrize(
    ("published", "asked", "expected"),
    [
        ({"value": "10"}, None, "10"),
        ({"value": "10"}, "3", "3"),
        (RANGE, None, "2"),
        (RANGE, "1", "2"),
        (RANGE, "3", "4"),
        (RANGE, "8", "8"),
        (RANGE, "9", None),
        (VALUES, "2", "4"),
        (VALUES, "5", None),
    ],
)
def test_what_a_request_consumes(published: dict[str, Any], asked: str | None, expected: str | None) -> None:
    import msgspec  # noqa: PLC0415

    wanted = {} if asked is None else {"m": Decimal(asked)}
    found = capacity.consumed({"m": msgspec.convert(published, Capacity)}, wanted, rules_for(37))
    assert found == (None if expected is None else {"m": Decimal(expected)})


def test_an_unknown_capacity_skips_the_device() -> None:
    other = device("y", capacity={"cores": {"value": "4"}})
    slices = [slice_of("1", shared("x"), other)]
    assert allocate(slices, plan(request(capacity={"requests": {"cores": "2"}}))) == [["y"]]


def test_a_share_beyond_64_bits_aborts_from_1_37_on_and_is_free_before() -> None:
    """Kubernetes 1.36 reads 10E as nothing, and gives it away."""
    slices = [slice_of("1", shared("x"))]
    with pytest.raises(Abort):
        allocate(slices, plan(share("10E")))
    assert allocate(slices, plan(share("10E")), use=held("8Gi"), minor=36) == [["x"]]


@pytest.mark.parametrize(
    ("value", "binary", "text"),
    [
        (10 * 2**30, True, "10Gi"),
        (1000, True, "1k"),
        (5000, False, "5k"),
        (1, True, "1"),
        (1536, True, "1536"),
        (3 * 10**9, True, "3G"),
    ],
)
def test_quantities_are_written_as_the_api_server_does(value: int, binary: bool, text: str) -> None:
    assert capacity.canonical(Decimal(value), binary=binary) == text


MATCH = [{"matchAttribute": "dev.example.com/island"}]
DISTINCT = [{"distinctAttribute": "dev.example.com/island"}]
ISLANDS = [
    slice_of(
        "1",
        device("a", **string(island="1")),
        device("none"),
        device("b", **string(island="2")),
        device("c", **string(island="2")),
        device("number", attributes={"island": {"int": 2}}),
    )
]


def test_match_attribute_gives_one_value() -> None:
    assert allocate(ISLANDS, plan(request(count=2), constraints=MATCH)) == [["b", "c"]]
    assert allocate(ISLANDS, plan(request("q"), request("r"), constraints=MATCH)) == [["b", "c"]]
    assert allocate(ISLANDS, plan(request(count=3), constraints=MATCH)) is None


def test_a_constraint_concerns_its_requests_only() -> None:
    only_r = [{"requests": ["r"], **MATCH[0]}]
    assert allocate(ISLANDS, plan(request("q"), request("r", count=2), constraints=only_r)) == [["a", "b", "c"]]


def test_distinct_attribute_gives_different_values() -> None:
    assert allocate(ISLANDS, plan(request("q"), request("r"), constraints=DISTINCT)) == [["a", "b"]]


@pytest.mark.parametrize(("minor", "expected"), [(37, ["a", "b", "number"]), (36, ["a", "b", "number"])])
def test_distinct_values_of_different_types_differ(minor: int, expected: list[str]) -> None:
    assert allocate(ISLANDS, plan(request(count=3), constraints=DISTINCT), minor=minor) == [expected]


@pytest.mark.parametrize(("minor", "fits"), [(36, True), (37, False)])
def test_distinct_attribute_forgets_within_a_request_before_1_37(minor: int, fits: bool) -> None:
    """Devices 1, 2, 1: the third repeats the first, which 1.36 has forgotten."""
    devices = [device(f"d{i}", **string(island=value)) for i, value in enumerate("121")]
    found = allocate([slice_of("1", *devices)], plan(request(count=3), constraints=DISTINCT), minor=minor)
    assert (found is not None) == fits


TAINT = {"key": "example.com/fault", "value": "stuck-bit"}


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        (None, False),
        ({"operator": "Exists"}, True),
        ({"key": "example.com/fault", "operator": "Exists"}, True),
        ({"key": "example.com/fault", "operator": "Equal", "value": "stuck-bit"}, True),
        ({"key": "example.com/fault", "operator": "Equal", "value": "other"}, False),
        ({"key": "example.com/other", "operator": "Exists"}, False),
        ({"key": "example.com/fault", "operator": "Exists", "effect": "None"}, False),
    ],
)
def test_taints_keep_out_who_does_not_tolerate_them(effect: str, toleration: Any, fits: bool) -> None:
    slices = [slice_of("1", device("x", taints=[{**TAINT, "effect": effect}]))]
    wanted = plan(request(tolerations=[toleration] if toleration else []))
    assert allocate(slices, wanted) == ([["x"]] if fits else None)


def test_a_taint_without_effect_is_ignored() -> None:
    assert allocate([slice_of("1", device("x", taints=[{**TAINT, "effect": "None"}]))], ONE) == [["x"]]
