"""The view over a real HTTP API server: what changes is made anew, what does not is the same object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.wire import pool_name
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_slice import Pool, ResourceSlice, ResourceSliceSpec
from partita_scheduler.cluster.slice_index import SliceIndex
from partita_scheduler.cluster.watch import ClusterWatch, parse_minor
from tests.scheduler.edge.cluster import Json, api_server, claim, device_class, node, pod, whole_gpus
from tests.waiting import until

Cluster = tuple[ApiServer, ClusterWatch]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with api_server(tmp_path) as (server, api):
        for name in ("a", "b"):
            server.create(node(name))
            server.create(whole_gpus(name))
        server.create(device_class())
        watch = ClusterWatch(api)
        watch.start()
        watch.refresh_version()
        until(lambda: not watch.doubt())
        yield server, watch
        watch.stop()


def test_it_is_in_doubt_until_everything_has_been_listed_once(tmp_path: Path) -> None:
    with api_server(tmp_path) as (_, api):
        watch = ClusterWatch(api)
        assert watch.doubt() == "not_synced"
        watch.start()
        watch.refresh_version()
        until(lambda: not watch.doubt())
        watch.stop()


def test_the_view_has_nodes_slices_classes_and_the_servers_version(cluster: Cluster) -> None:
    view = cluster[1].view()
    assert set(view.nodes) == {"a", "b"}
    assert {name: len(found) for name, found in view.slices.items()} == {"a": 1, "b": 1}
    assert set(view.classes) == {"whole"}
    assert view.server_minor >= 34


def test_without_changes_it_is_the_same_object(cluster: Cluster) -> None:
    assert cluster[1].view() is cluster[1].view()


def test_a_new_claim_leaves_the_other_parts_as_they_are(cluster: Cluster) -> None:
    server, watch = cluster
    before = watch.view()
    server.create(claim("wish"))
    until(lambda: ("default", "wish") in watch.view().claims)
    after = watch.view()
    assert after is not before
    assert after.nodes is before.nodes
    assert after.slices is before.slices
    assert ("default", "wish") not in before.claims


def test_a_changed_slice_leaves_the_other_nodes_slices_as_they_are(cluster: Cluster) -> None:
    server, watch = cluster
    before = watch.view()
    changed = server.get("ResourceSlice", "a-0")
    changed["spec"]["devices"].pop()
    server.update(changed)
    until(lambda: watch.view() is not before)
    after = watch.view()
    assert len(after.slices["a"][0].spec.devices) == 1
    assert after.slices["b"] is before.slices["b"]


def drain(node_name: str) -> Json:
    spec = {"deviceSelector": {"pool": pool_name(node_name)}, "taint": {"key": "drain", "effect": "NoSchedule"}}
    metadata = {"name": f"drain-{node_name}"}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceTaintRule", "metadata": metadata, "spec": spec}


def test_a_rule_taints_the_slices_of_its_nodes_until_it_is_gone(cluster: Cluster) -> None:
    server, watch = cluster
    before = watch.view()
    server.create(drain("a"))
    until(lambda: watch.view() is not before)
    ruled = watch.view()
    assert [one.key for device in ruled.slices["a"][0].spec.devices for one in device.taints] == ["drain", "drain"]
    assert ruled.slices["b"] is before.slices["b"]
    server.delete("DeviceTaintRule", "drain-a")
    until(lambda: watch.view() is not ruled)
    assert watch.view().slices["a"] == before.slices["a"]


def test_without_rules_in_the_api_nothing_is_in_doubt(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        server.faults.fail(404, path="devicetaintrules", times=-1, reason="NotFound")
        watch = ClusterWatch(api)
        watch.start()
        watch.refresh_version()
        until(lambda: not watch.doubt())
        watch.stop()


def test_a_bound_pod_is_no_longer_pending(cluster: Cluster) -> None:
    server, watch = cluster
    made = server.create(pod("train"))
    until(lambda: watch.unbound_pod("default", "train"))
    server.bind(made, "a")
    until(lambda: not watch.unbound_pods())


def test_a_watch_that_hears_nothing_for_too_long_makes_the_view_stale(tmp_path: Path) -> None:
    with api_server(tmp_path) as (_, api):
        watch = ClusterWatch(api, stale_seconds=0.0)
        watch.start()
        watch.refresh_version()
        until(lambda: watch.doubt() == "stale")
        watch.stop()


def test_a_view_that_was_found_fresh_gets_stale_too(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        watch = ClusterWatch(api, stale_seconds=1.0)
        watch.start()
        watch.refresh_version()
        until(lambda: not watch.doubt())
        server.stop()
        until(lambda: watch.doubt() == "stale")
        watch.stop()


def test_no_answer_about_the_version_is_no_view(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        watch = ClusterWatch(api)
        server.stop()
        assert not watch.refresh_version()


def test_a_minor_version_may_carry_a_plus() -> None:
    assert parse_minor(b'{"major": "1", "minor": "37+"}') == 37


def _slice(name: str, node_name: str) -> ResourceSlice:
    spec = ResourceSliceSpec(driver="d", pool=Pool(name=node_name), node_name=node_name or None)
    return ResourceSlice(metadata=ObjectMeta(name=name), spec=spec)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "n1", "n2"]), st.booleans()), max_size=30))
def test_the_index_equals_grouping_everything_anew(changes: list[tuple[str, str, bool]]) -> None:
    index, known = SliceIndex(), dict[str, ResourceSlice]()
    for name, node_name, deleted in changes:
        new = None if deleted else _slice(name, node_name)
        index.change(known.pop(name, None), new)
        if new is not None:
            known[name] = new
        grouped: dict[str, list[ResourceSlice]] = {}
        for found in sorted(known.values(), key=lambda one: one.metadata.name):
            grouped.setdefault(found.spec.node_name or "", []).append(found)
        assert index.value() == {where: tuple(found) for where, found in grouped.items()}
