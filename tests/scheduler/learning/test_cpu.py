"""CPU that is left on nodes: what pods request of it, and what that means for the best node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from partita_plugins.contracts import PodShape, Workload
from partita_plugins.wire.objects import ObjectMeta
from partita_scheduler.cluster.cpu import BoundPod, CpuTally, cpu_in_steps, small
from partita_scheduler.cluster.view import Node, Pod
from partita_scheduler.policy.decision import decide
from partita_scheduler.policy.question import question
from tests.scheduler.decision.fleet import claim, exactly, slices, view
from tests.scheduler.decision.fleet import pod as asking

NODE = msgspec.convert({"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "64"}}}, Node)


def bound(cpu: str, **more: Any) -> BoundPod:
    containers = [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]
    return small(msgspec.convert({"spec": {"nodeName": "a", "containers": containers, **more}}, Pod))


def test_what_pods_request_is_gone_and_comes_back_with_them() -> None:
    tally = CpuTally()
    assert tally.left_milli(NODE) == 64_000
    first, second = bound("8"), bound("1500m")
    assert tally.change(None, first) == {"a"}
    assert tally.change(None, second) == {"a"}
    assert tally.left_milli(NODE) == 54_000
    assert tally.change(second, second) == set()
    assert tally.change(first, None) == {"a"}
    assert tally.left_milli(NODE) == 62_000


def test_a_pod_that_was_made_anew_on_another_node_while_nobody_watched_counts_there_alone() -> None:
    tally, elsewhere = CpuTally(), msgspec.structs.replace(NODE, metadata=ObjectMeta(name="b"))
    before, after = bound("8"), bound("8", nodeName="b")
    tally.change(None, before)
    assert tally.change(before, after) == {"a", "b"}
    assert tally.left_milli(NODE) == 64_000
    assert tally.left_milli(elsewhere) == 56_000


def test_nodes_that_differ_by_little_are_alike() -> None:
    tally, other = CpuTally(), CpuTally()
    tally.change(None, bound("100m"))
    other.change(None, bound("1900m"))
    assert tally.left_milli(NODE) == other.left_milli(NODE) == 62_000


def test_a_node_that_asks_too_much_has_nothing_left_and_one_that_does_not_say_is_not_counted() -> None:
    tally = CpuTally()
    tally.change(None, bound("100"))
    assert tally.left_milli(NODE) == 0
    assert tally.left_milli(Node()) is None


def test_an_init_container_counts_as_far_as_it_needs_more_and_a_sidecar_in_full() -> None:
    def inits(*each: tuple[str, str | None]) -> list[dict[str, object]]:
        return [{"name": "i", "restartPolicy": again, "resources": {"requests": {"cpu": cpu}}} for cpu, again in each]

    assert bound("2", initContainers=inits(("3", None))).requested_milli == 3000
    assert bound("2", initContainers=inits(("1", "Always"))).requested_milli == 3000
    assert bound("1", initContainers=inits(("1", "Always"), ("3", None))).requested_milli == 4000
    assert bound("1", initContainers=inits(("3", None), ("1", "Always"))).requested_milli == 3000


def test_what_the_pod_as_a_whole_requests_counts_instead_of_its_containers_and_its_overhead_beside() -> None:
    assert bound("2", resources={"requests": {"cpu": "5"}}).requested_milli == 5000
    assert bound("2", resources={"requests": {"memory": "1Gi"}}).requested_milli == 2000
    assert bound("2", overhead={"cpu": "250m"}).requested_milli == 2250


def test_a_pod_with_little_cpu_goes_where_little_is_left() -> None:
    machines = {name: slices(name, "hgx-h100") for name in ("a", "b")}
    light = asking("c", containers=[{"name": "m", "resources": {"requests": {"cpu": "500m"}}}])
    workload = Workload(((PodShape(cpu_milli=8000, gpus=1), 100),))
    cluster = replace(view(machines, claim("c", exactly())), workload=workload)
    assert decide(cluster, light, ["a", "b"]).order == ("a", "b")
    counted = replace(cluster, cpu_left_milli={"a": 128_000, "b": 8_000})
    assert decide(counted, light, ["a", "b"]).order == ("b", "a")


@pytest.mark.parametrize(
    ("milli", "counts_as"),
    [
        (0, 0),
        (1, 500),
        (500, 500),
        (501, 1000),
        (1001, 1500),
        (1600, 2000),
        (3152, 4000),
        (11_300, 12_000),
        (12_001, 16_000),
    ],
)
def test_requests_count_in_few_steps(milli: int, counts_as: int) -> None:
    assert cpu_in_steps(milli) == counts_as


def test_pods_that_differ_by_their_cpu_are_alike_where_nobody_counts_it() -> None:
    light, heavy = (
        asking("c", containers=[{"name": "m", "resources": {"requests": {"cpu": cpu}}}]) for cpu in ("1", "9")
    )
    cluster = view({"a": slices("a", "hgx-h100")}, claim("c", exactly()))
    counted = replace(cluster, cpu_left_milli={"a": 8_000})
    assert question(cluster, light).shape == question(cluster, heavy).shape
    assert question(counted, light).shape != question(counted, heavy).shape
