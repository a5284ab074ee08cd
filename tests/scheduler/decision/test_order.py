"""Which device is taken first: pools, slices, devices, combinations, alternatives."""

from __future__ import annotations

from typing import Any

import pytest

from partita_scheduler.allocator.in_use import PoolUse
from partita_scheduler.allocator.result import Abort, OutOfSteps
from tests.scheduler.decision.small import allocate, device, plan, request, slice_of, string

ONE = plan(request())


def test_slices_are_tried_by_name_and_devices_as_listed() -> None:
    slices = [slice_of("b", device("z"), count=2), slice_of("a", device("y"), device("x"), count=2)]
    assert allocate(slices, plan(request(count=3))) == [["y", "x", "z"]]


def test_pools_are_tried_by_driver_then_name() -> None:
    slices = [
        slice_of("1", device("late"), driver="z.example.com", pool="a"),
        slice_of("2", device("second"), pool="q"),
        slice_of("3", device("first"), pool="p"),
    ]
    assert allocate(slices, plan(request(count=3))) == [["first", "second", "late"]]


def test_pools_with_binding_conditions_come_last() -> None:
    slices = [
        slice_of("1", device("bound", bindingConditions=["ready"], bindingFailureConditions=["failed"]), pool="a"),
        slice_of("2", device("plain"), pool="b"),
    ]
    assert allocate(slices, ONE) == [["plain"]]


def test_an_incomplete_pool_is_skipped() -> None:
    assert allocate([slice_of("1", device("x"), count=2)], ONE) is None


def test_slices_of_other_nodes_complete_a_pool() -> None:
    other = slice_of("2", device("y"), count=2, nodeName="m")
    assert allocate([slice_of("1", device("x"), count=2)], ONE, elsewhere=[other]) == [["x"]]


def test_a_newer_generation_elsewhere_makes_the_pool_obsolete() -> None:
    newer = slice_of("2", device("y"), count=2, generation=2, nodeName="m")
    assert allocate([slice_of("1", device("x"), count=2)], ONE, elsewhere=[newer]) is None


def test_the_highest_generation_wins() -> None:
    slices = [slice_of("1", device("old"), generation=1), slice_of("2", device("new"), generation=2)]
    assert allocate(slices, ONE) == [["new"]]


def test_a_pool_with_two_devices_of_one_name_is_invalid() -> None:
    slices = [slice_of("1", device("x"), count=2), slice_of("2", device("x"), count=2)]
    assert allocate(slices, ONE) is None


def test_a_device_in_use_is_never_given() -> None:
    assert allocate([slice_of("1", device("x"), device("y"))], ONE, use=PoolUse(frozenset({"x"}))) == [["y"]]


def test_admin_access_ignores_use_but_not_within_one_claim() -> None:
    slices = [slice_of("1", device("x"), device("y"))]
    admin = plan(request("a", adminAccess=True), request("b", adminAccess=True))
    assert allocate(slices, admin, use=PoolUse(frozenset({"x"}))) == [["x", "y"]]
    assert allocate(slices, plan(request(adminAccess=True)), plan(request(adminAccess=True))) == [["x"], ["x"]]


def test_backtracking_changes_an_earlier_request() -> None:
    """The first request fits both devices, the second only the one that the first would take."""
    only_x = [{"cel": {"expression": 'device.attributes["dev.example.com"].kind == "x"'}}]
    slices = [slice_of("1", device("x", **string(kind="x")), device("y", **string(kind="y")))]
    assert allocate(slices, plan(request("a"), request("b", selectors=only_x))) == [["y", "x"]]
    assert allocate(slices, plan(request("a")), plan(request("b", selectors=only_x))) == [["y"], ["x"]]


def alternatives(*counts: int) -> dict[str, object]:
    return {
        "name": "r",
        "firstAvailable": [{"name": f"a{i}", "deviceClassName": "any", "count": n} for i, n in enumerate(counts)],
    }


def test_the_first_alternative_that_fits_is_taken() -> None:
    slices = [slice_of("1", device("x"), device("y"))]
    assert allocate(slices, plan(alternatives(3, 2, 1))) == [["x", "y"]]


def test_an_alternative_gives_way_to_a_later_request() -> None:
    slices = [slice_of("1", device("x"), device("y"))]
    assert allocate(slices, plan(alternatives(2, 1), request("s"))) == [["x", "y"]]


def test_alternatives_that_fail_let_an_earlier_request_move() -> None:
    only_x = [{"cel": {"expression": 'device.attributes["dev.example.com"].kind == "x"'}}]
    slices = [slice_of("1", device("x", **string(kind="x")), device("y", **string(kind="y")))]
    choice = {"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "any", "selectors": only_x}]}
    assert allocate(slices, plan(request("first"), choice)) == [["y", "x"]]


def test_an_alternative_too_large_for_a_result_is_passed_over() -> None:
    devices = [device(f"d{i}") for i in range(40)]
    found = allocate([slice_of("1", *devices)], plan(request("first", count=30), alternatives(10, 2)))
    assert found is not None
    assert len(found[0]) == 32


def test_more_devices_than_a_result_holds_aborts() -> None:
    with pytest.raises(Abort, match="more than 32"):
        allocate([slice_of("1", device("x"))], plan(request(count=33)))


def test_all_takes_every_match_or_nothing() -> None:
    slices = [slice_of("1", device("x"), device("y"))]
    everything = plan(request(allocationMode="All"))
    assert allocate(slices, everything) == [["x", "y"]]
    assert allocate(slices, everything, use=PoolUse(frozenset({"y"}))) is None
    assert allocate([slice_of("1")], everything) is None


def test_all_aborts_while_a_pool_is_incomplete() -> None:
    slices = [slice_of("1", device("x")), slice_of("2", device("y"), pool="q", count=2)]
    with pytest.raises(Abort, match="being changed"):
        allocate(slices, plan(request(allocationMode="All")))


@pytest.mark.parametrize(
    ("where", "reached"),
    [
        ({"allNodes": True}, True),
        (
            {
                "nodeSelector": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
                }
            },
            True,
        ),
        (
            {
                "nodeSelector": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}]
                }
            },
            False,
        ),
        ({"nodeSelector": {"nodeSelectorTerms": [{}]}}, False),
    ],
)
def test_node_selection_of_a_slice(where: dict[str, Any], reached: bool) -> None:
    assert (allocate([slice_of("1", device("x"), **where)], ONE) is not None) == reached


def test_node_selection_of_single_devices() -> None:
    slices = [slice_of("1", device("there", nodeName="m"), device("here", nodeName="n"), perDeviceNodeSelection=True)]
    assert allocate(slices, ONE) == [["here"]]


def test_a_hopeless_claim_ends_without_an_opinion() -> None:
    """C(40, 16) combinations of devices without the attribute that the last request matches on."""
    devices = [device(f"d{i}") for i in range(40)]
    never = [{"cel": {"expression": "false"}}]
    with pytest.raises(OutOfSteps):
        allocate([slice_of("1", *devices)], plan(request("a", count=16), request("b", selectors=never)))
