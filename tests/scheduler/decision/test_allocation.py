"""How kube-scheduler writes an allocation down: node selectors and quantities."""

from __future__ import annotations

from typing import Any

import pytest

from partita_scheduler.allocator.allocation import allocation
from partita_scheduler.allocator.inputs import gather_pools
from partita_scheduler.allocator.result import Budget
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.allocator.search import Search
from tests.scheduler.decision.small import NODE, device, plan, request, slice_of


def allocated(slices: list[Any], wanted: dict[str, Any], minor: int = 37) -> Any:
    rules, pools = rules_for(minor), gather_pools(NODE, slices, lambda _: slices)
    picks = Search(pools, {}, (plan(wanted),), rules, Budget(1000)).run()
    assert picks is not None
    return allocation("n", pools, picks[0], rules)


def has(key: str) -> dict[str, Any]:
    return {"key": key, "operator": "Exists"}


def chosen_by(*keys: str) -> dict[str, Any]:
    return {"nodeSelectorTerms": [{"matchExpressions": [has(key) for key in keys]}]}


LOCAL = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]}


@pytest.mark.parametrize(
    ("where", "more", "expected"),
    [
        ({}, {}, LOCAL),
        ({"allNodes": True}, {}, None),
        ({"allNodes": True}, {"bindsToNode": True}, LOCAL),
        ({"nodeSelector": chosen_by("zone")}, {}, chosen_by("zone")),
        ({"perDeviceNodeSelection": True}, {"nodeName": "n"}, LOCAL),
        ({"perDeviceNodeSelection": True}, {"nodeSelector": chosen_by("zone")}, chosen_by("zone")),
    ],
)
def test_the_node_selector_says_from_where_the_devices_can_be_reached(where: Any, more: Any, expected: Any) -> None:
    assert allocated([slice_of("1", device("x", **more), **where)], request()).node_selector == expected


def test_node_selectors_of_several_devices_are_put_together() -> None:
    both = [
        slice_of("1", device("x", nodeSelector=chosen_by("zone")), pool="p", perDeviceNodeSelection=True),
        slice_of("2", device("y", nodeSelector=chosen_by("zone")), pool="q", perDeviceNodeSelection=True),
    ]
    assert allocated(both, request(count=2)).node_selector == chosen_by("zone")


STEPPED = {"default": "2G", "validRange": {"min": "1Gi", "step": "512Mi"}}
VALUES = {"default": "2Gi", "validValues": ["1G", "2Gi"]}


@pytest.mark.parametrize(
    ("policy", "asked", "by_minor"),
    [
        (None, None, {36: "16Gi", 37: "16Gi"}),
        (None, "1500M", {36: "1500M", 37: "1500M"}),
        (STEPPED, None, {36: "2G", 37: "2G"}),
        (STEPPED, "1M", {36: "1Gi", 37: "1Gi"}),
        (STEPPED, "1100M", {36: "1536Mi", 37: "1536Mi"}),
        (VALUES, "900M", {36: "1G", 37: "1G"}),
        (VALUES, "1500M", {36: "2Gi", 37: "2Gi"}),
        ({"default": "1k", "validRange": {"min": "1k", "step": "24"}}, "1001", {36: "1Ki", 37: "1024"}),
        ({"default": "500m", "validRange": {"min": "500m", "step": "250m"}}, "600m", {36: "1", 37: "1", 38: "750m"}),
        ({"default": "1k", "validRange": {"min": "1"}}, "2048", {36: "2048", 37: "2048"}),
    ],
)
def test_a_share_is_written_in_the_units_of_the_quantity_that_it_was_taken_from(
    policy: Any, asked: str | None, by_minor: dict[int, str]
) -> None:
    memory = {"value": "16Gi"} | ({"requestPolicy": policy} if policy else {})
    shared = device("x", allowMultipleAllocations=True, capacity={"memory": memory})
    wanted = request(capacity={"requests": {"memory": asked}} if asked else None)
    for minor, expected in by_minor.items():
        [result] = allocated([slice_of("1", shared)], wanted, minor).devices.results
        assert result.consumed_capacity == {"memory": expected}
