"""Kubernetes 1.36 takes slices with counters for every node's: an unsound pool stops allocationMode All everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.elsewhere import unsound_pool
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.policy.decision import decide
from tests.scheduler.decision.fleet import claim, exactly, pod, slices, view
from tests.scheduler.decision.small import counters, device, slice_of

THERE: dict[str, Any] = {"nodeName": "other"}


def pool(*extra: ResourceSlice, counter: str = "c", count: int = 2) -> tuple[ResourceSlice, ...]:
    own = slice_of("1", device("x", {counter: 1}), count=count, **THERE)
    return (counters("z-counters", count=count, c=2), own, *extra)


@pytest.mark.parametrize(
    ("found", "sound"),
    [
        (pool(), True),
        (pool(count=3), False),
        (pool(counter="missing"), False),
        (pool(counters("y-counters", count=3, c=1), count=3), False),
        (pool(slice_of("2", device("y"), generation=2, **THERE)), True),
        ((slice_of("1", device("x"), count=2, **THERE),), True),
    ],
    ids=["sound", "incomplete", "no such counter", "a set twice", "being replaced", "no counters"],
)
def test_a_pool_with_counters_is_sound(found: tuple[ResourceSlice, ...], sound: bool) -> None:
    assert (unsound_pool({"other": found}) is None) == sound


def test_a_pool_over_several_nodes_is_looked_at_as_a_whole() -> None:
    shared, own = pool()
    assert unsound_pool({"a": (shared,), "b": (own,)}) is None
    assert unsound_pool({"a": (shared,)}) is not None


def with_an_unsound_pool(minor: int) -> ClusterView:
    machines = {"a": slices("a", "hgx-h100"), "other": pool(count=3)}
    some, every = claim("some", exactly()), claim("every", exactly(allocationMode="All"))
    return view(machines, some, every, minor=minor)


@pytest.mark.parametrize(("minor", "codes"), [(36, ["abort"]), (37, [])])
def test_only_1_36_and_only_mode_all_is_stopped_by_a_pool_of_another_node(minor: int, codes: list[str]) -> None:
    cluster = with_an_unsound_pool(minor)
    reasons = decide(cluster, pod("every"), ["a"]).verdicts["a"].reasons
    assert [reason.code for reason in reasons] == codes
    assert decide(cluster, pod("some"), ["a"]).order == ("a",)
