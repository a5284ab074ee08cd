"""What a gate of kube-scheduler decides that nobody can ask for is no opinion, and only where it decides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.result import Unsure
from partita_scheduler.policy.decision import decide
from tests.scheduler.decision.fleet import claim, exactly, pod, slices, view
from tests.scheduler.decision.small import allocate, counters, device, plan, request, slice_of

GROUPED = [{"counterSet": "s", "counters": {"c": {"value": "1"}}, "compatibilityGroups": ["mig"]}]


def grouped(one: ResourceSlice) -> ResourceSlice:
    """The same slice, its first device in a compatibility group."""
    body: dict[str, Any] = msgspec.to_builtins(one)
    body["spec"]["devices"][0]["consumesCounters"][0]["compatibilityGroups"] = ["mig"]
    return msgspec.convert(body, ResourceSlice)


def test_a_node_whose_devices_are_in_compatibility_groups_is_undecided() -> None:
    machines = {name: slices(name, "hgx-h100") for name in ("a", "b")}
    machines["a"] = tuple(grouped(one) if one.spec.devices else one for one in machines["a"])
    found = decide(view(machines, claim("c", exactly())), pod("c"), ["a", "b"])
    assert found.order == ("b",)
    assert found.verdicts["a"].undecided
    [reason] = found.verdicts["a"].reasons
    assert "compatibility groups" in reason.text


POOL = (counters(c=2), slice_of("1", device("g", consumesCounters=GROUPED), device("x"), count=2))
OTHER = slice_of("1", device("y"), pool="other", driver="z.example.com")


@pytest.mark.parametrize("node", [{}, {"nodeName": "elsewhere"}], ids=["here", "on another node"])
def test_all_devices_of_a_pool_that_has_groups_anywhere_are_in_doubt(node: dict[str, str]) -> None:
    pool = (
        counters(count=3, c=2),
        slice_of("1", device("g", consumesCounters=GROUPED), count=3, **node),
        slice_of("2", device("x"), count=3),
    )
    with pytest.raises(Unsure, match="compatibility groups"):
        allocate(pool, plan(request()))


def test_pools_that_the_request_does_not_select_or_reach_decide_nothing() -> None:
    selected = [{"cel": {"expression": "device.driver == 'z.example.com'"}}]
    assert allocate((*POOL, OTHER), plan(request(selectors=selected))) == [["y"]]
    first = slice_of("1", device("first"), pool="a-before")
    assert allocate((*POOL, first), plan(request())) == [["first"]]


def test_a_selector_that_fails_on_such_a_pool_is_no_opinion_and_no_end_of_the_attempt() -> None:
    failing = [{"cel": {"expression": "device.attributes['z.example.com'].missing == 1"}}]
    with pytest.raises(Unsure):
        allocate(POOL, plan(request(selectors=failing)))


def test_a_request_for_all_devices_is_no_opinion_beside_such_a_pool() -> None:
    selected = [{"cel": {"expression": "device.driver == 'z.example.com'"}}]
    with pytest.raises(Unsure):
        allocate((*POOL, OTHER), plan(request(allocationMode="All", selectors=selected)))
