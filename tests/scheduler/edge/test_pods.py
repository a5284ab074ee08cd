"""One watch on pods tells of those that wait and of those that hold CPU what a watch on each of them would tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Unavailable
from partita_plugins.kube.reflector import Listener, Reflector
from partita_plugins.kube.resources import PODS
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.apiserver.faults import Fault
from partita_scheduler.cluster.cpu import BoundPod, CpuTally
from partita_scheduler.cluster.pods import (
    BOUND,
    DRAINED_SECONDS,
    GATHER_SECONDS,
    LIVE,
    PATIENCE_SECONDS,
    PROMPT_SECONDS,
    UNBOUND,
    PodWatch,
    Seen,
    kept,
)
from partita_scheduler.cluster.view import Node, Pod
from tests.scheduler.edge.cluster import Json, api_server, pod
from tests.scheduler.edge.fakes import Clock
from tests.scheduler.edge.pod_history import PodHistory
from tests.waiting import until

T = TypeVar("T")

NODES = {"a": msgspec.convert({"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "64"}}}, Node)}
ALL = r"pods\?fieldSelector=status"
"""Lists and watches of all pods, and not of those alone that wait."""


class Told(CpuTally):
    """What a watch has told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Pod | None, Pod | None]] = []
        self.holding: list[tuple[BoundPod | None, BoundPod | None]] = []

    def waits(self, old: Pod | None, new: Pod | None) -> None:
        self.waiting.append((old, new))

    def change(self, old: BoundPod | None, new: BoundPod | None) -> frozenset[str]:
        if old is not None or new is not None:
            self.holding.append((old, new))
        return super().change(old, new)


class TwoWatches:
    """One for those that wait, one for those that hold CPU."""

    def __init__(self, api: KubeApi, told: Told) -> None:
        holds = cast("Listener[Seen]", told.change)
        self.both: tuple[Reflector[Any], ...] = (
            Reflector(api, PODS, Pod, told.waits, fieldSelector=UNBOUND),
            Reflector(api, PODS, Pod, holds, made=kept, fieldSelector=BOUND),
        )


def listed(*watches: Reflector[Any]) -> None:
    for watch in watches:
        watch._version = watch._relist()


def followed(*watches: Reflector[Any]) -> None:
    for watch in watches:
        with suppress(Unavailable):  # It had nothing to say.
            watch._follow()


def in_any_order(told: list[T]) -> list[T]:
    return sorted(told, key=repr)


STEPS = st.one_of(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from("xyz"),
            "cpu": st.sampled_from(["1", "2"]),
            "node": st.sampled_from(["", "", "a", "b"]),
            "phase": st.sampled_from(["Pending", "Running", "Pending", "Failed"]),
            "anew": st.booleans(),
        }
    ),
    st.sampled_from(["delete x", "delete y", "follow", "follow", "list"]),
)


@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_to_pods_one_watch_tells_what_two_would(steps: list[str | dict[str, Any]]) -> None:
    api = PodHistory()
    one, two = Told(), Told()
    watch = PodWatch(cast("KubeApi", api), one.waits, tally=one)
    watches = TwoWatches(cast("KubeApi", api), two).both
    listed(watch._pods, *watches)
    for step in [*steps, "follow", "list"]:
        if isinstance(step, dict):
            api.put(**step)
        elif step.startswith("delete"):
            api.delete(step[-1])
        elif step == "follow":
            followed(watch._pods, *watches)
            assert (one.waiting, one.holding) == (two.waiting, two.holding)
        else:
            listed(watch._pods, *watches)
            # A list has no order in time.
            assert in_any_order(one.waiting) == in_any_order(two.waiting)
            assert in_any_order(one.holding) == in_any_order(two.holding)
            two.waiting, two.holding = list(one.waiting), list(one.holding)
    waiting, holding = (list(each.snapshot().values()) for each in watches)
    assert in_any_order(watch.unbound_pods()) == in_any_order(waiting)
    assert one._requested == {
        node: milli
        for node in ("a", "b")
        if (milli := sum(held.requested_milli for held in holding if held.node_name == node))
    }


def test_a_pod_that_was_made_anew_while_nobody_watched_waits_even_if_all_cannot_be_listed() -> None:
    api, told = PodHistory(), Told()
    watch = PodWatch(cast("KubeApi", api), told.waits, tally=told)
    api.put("x", cpu="8", node="a")
    listed(watch._pods)
    api.put("x", cpu="8", anew=True)
    api.refused.add(LIVE)
    with pytest.raises(Unavailable):
        listed(watch._pods)
    assert watch.unbound_pod("default", "x")
    assert watch.left_milli(NODES) == {"a": 64_000}


@pytest.mark.parametrize(
    ("waited_seconds", "ours", "since_seconds", "rests"),
    [
        (GATHER_SECONDS / 2, False, 0.0, True),
        (DRAINED_SECONDS / 2, False, 0.0, False),
        (GATHER_SECONDS * 2, False, 0.0, False),
        (GATHER_SECONDS / 2, True, PROMPT_SECONDS / 2, False),
        (GATHER_SECONDS / 2, True, PROMPT_SECONDS * 2, True),
    ],
    ids=["changes-come-close", "more-have-come", "changes-are-rare", "one-is-ours", "one-was-ours"],
)
def test_changes_that_come_close_are_taken_in_together_where_none_is_of_a_pod_of_ours(
    waited_seconds: float, ours: bool, since_seconds: float, rests: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rested: list[float] = []
    api, told, clock = PodHistory(), Told(), Clock()
    watch = PodWatch(cast("KubeApi", api), told.waits, tally=told, may_concern=lambda _: ours, clock=clock)
    listed(watch._pods)
    api.put("x", cpu="8")
    followed(watch._pods)
    clock.now += since_seconds
    monkeypatch.setattr(watch._pods._stopping, "wait", rested.append)
    watch._pods._rest(waited_seconds)
    assert rested == ([GATHER_SECONDS] if rests else [])


@contextmanager
def watched(folder: Path, *faults: Fault) -> Iterator[tuple[ApiServer, PodWatch, list[str]]]:
    """A watch on pods, of which one waits and one has 8 CPUs of node a; and the nodes that it told of."""
    told: list[str] = []
    with api_server(folder) as (server, api):
        server.create(eight_cpus("waiting"))
        server.create(eight_cpus("placed", nodeName="a"))
        for fault in faults:
            server.faults.plant(fault)
        watch = PodWatch(api, tally=CpuTally(), node_listener=told.append)
        watch.start()
        yield server, watch, told
        watch.stop()


def eight_cpus(name: str, **spec: Any) -> Json:
    return pod(name, containers=[{"name": "main", "image": "i", "resources": {"requests": {"cpu": "8"}}}], **spec)


def test_pods_count_once_they_have_a_node_and_as_long_as_they_run(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, watch, told):
        until(lambda: watch.settled)
        assert watch.left_milli(NODES) == {"a": 56_000}
        assert told == ["a"]
        assert watch.requested_milli("default", "placed") == 8000
        assert watch.requested_milli("default", "waiting") is None
        server.bind(server.get("Pod", "waiting", "default"), "a")
        until(lambda: watch.left_milli(NODES) == {"a": 48_000})
        assert not watch.unbound_pods()
        for name in ("placed", "waiting"):
            server.patch("Pod", name, {"status": {"phase": "Succeeded"}}, "default", subresource="status")
        until(lambda: watch.left_milli(NODES) == {"a": 64_000})
        assert watch.requested_milli("default", "placed") is None


def test_those_that_wait_are_known_before_all_have_been_listed(tmp_path: Path) -> None:
    with watched(tmp_path, Fault(path=ALL, delay_seconds=60)) as (server, watch, told):
        until(lambda: watch.synced)
        assert watch.unbound_pod("default", "waiting")
        assert not watch.settled
        assert not told
        server.faults.clear()
        until(lambda: watch.settled)
        assert told == ["a"]


def test_those_that_wait_are_kept_up_to_date_while_all_cannot_be_listed(tmp_path: Path) -> None:
    with watched(tmp_path, Fault(path=ALL, code=500, times=-1)) as (server, watch, told):
        until(lambda: watch.synced)
        server.create(eight_cpus("later"))
        until(lambda: watch.unbound_pod("default", "later"))
        assert not told


def test_what_pods_hold_stands_while_all_are_listed_anew(tmp_path: Path) -> None:
    with watched(tmp_path, Fault(path=f"{ALL}.*watch=true", code=410, reason="Expired")) as (server, watch, told):
        until(lambda: watch.settled)
        server.create(eight_cpus("later", nodeName="a"))
        until(lambda: watch.left_milli(NODES) == {"a": 48_000})
        assert told == ["a", "a"]


def test_where_nobody_counts_only_pods_that_wait_are_watched(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        server.faults.fail(500, path=ALL, times=-1)
        watch = PodWatch(api)
        watch.start()
        server.create(eight_cpus("waiting"))
        until(watch.unbound_pods)
        server.bind(server.get("Pod", "waiting", "default"), "a")
        until(lambda: not watch.unbound_pods())
        assert not watch.left_milli(NODES)
        watch.stop()


def test_pods_that_never_come_are_not_waited_for_for_ever(tmp_path: Path) -> None:
    with api_server(tmp_path) as (_, api):
        clock = Clock()
        watch = PodWatch(api, tally=CpuTally(), clock=clock)
        assert not watch.settled
        clock.now += PATIENCE_SECONDS + 1
        assert watch.settled
