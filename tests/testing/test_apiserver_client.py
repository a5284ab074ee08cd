"""The API server as the `kubernetes` client sees it.

The clients are Any: plain dictionaries go in, and every field of what comes out is optional to mypy.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from partita_plugins.testing.apiserver import ApiServer
from tests.testing import objects


def watched(listing: Any, **options: Any) -> Iterator[dict[str, Any]]:
    """Events of a watch, until it ends or nobody asks for more."""
    yield from watch.Watch().stream(listing, **options)  # type: ignore[no-untyped-call]


def test_a_pod_is_created_read_listed_and_deleted(core: Any) -> None:
    made = core.create_namespaced_pod("default", objects.pod("p"))
    assert made.metadata.uid
    assert made.status.phase == "Pending"
    assert core.read_namespaced_pod("p", "default").metadata.uid == made.metadata.uid
    assert [found.metadata.name for found in core.list_pod_for_all_namespaces().items] == ["p"]
    core.delete_namespaced_pod("p", "default")
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_pod("p", "default")
    assert (missing.value.status, '"reason":"NotFound"' in str(missing.value.body)) == (404, True)


def test_a_second_object_of_the_same_name_is_refused(core: Any) -> None:
    core.create_node(objects.node("n1"))
    with pytest.raises(ApiException) as refused:
        core.create_node(objects.node("n1"))
    assert (refused.value.status, "AlreadyExists" in str(refused.value.body)) == (409, True)


def test_a_writer_with_an_old_version_gets_a_conflict(core: Any) -> None:
    body = {"metadata": {"name": "c"}, "data": {"key": "one"}}
    first = core.create_namespaced_config_map("default", body)
    first.data = {"key": "two"}
    core.replace_namespaced_config_map("c", "default", first)
    with pytest.raises(ApiException) as refused:
        core.replace_namespaced_config_map("c", "default", first)
    assert refused.value.status == 409


def test_a_write_that_changes_nothing_makes_no_version(core: Any) -> None:
    made = core.create_node(objects.node("n1", zone="a"))
    again = core.patch_node("n1", {"metadata": {"labels": {"zone": "a"}}})
    assert again.metadata.resource_version == made.metadata.resource_version


def test_a_generated_name_ends_in_five_letters(core: Any) -> None:
    body = objects.pod("")
    body["metadata"] = {"generateName": "worker-"}
    name = core.create_namespaced_pod("default", body).metadata.name
    assert name.startswith("worker-")
    assert len(name) == len("worker-") + 5


@pytest.mark.parametrize(
    ("labels", "fields", "expected"),
    [
        ("app=a", "", ["a"]),
        ("app in (a, b)", "", ["a", "b"]),
        ("app notin (a)", "", ["b", "c"]),
        ("!app", "", ["c"]),
        ("", "spec.nodeName=n1", ["b"]),
        ("", "spec.nodeName=", ["a", "c"]),
        ("", "metadata.name!=a,status.phase=Pending", ["b", "c"]),
    ],
)
def test_selectors_choose(core: Any, labels: str, fields: str, expected: list[str]) -> None:
    for name, label, where in (("a", {"app": "a"}, ""), ("b", {"app": "b"}, "n1"), ("c", {}, "")):
        body = objects.pod(name, node=where)
        body["metadata"]["labels"] = label
        core.create_namespaced_pod("default", body)
    found = core.list_namespaced_pod("default", label_selector=labels, field_selector=fields)
    assert [entry.metadata.name for entry in found.items] == expected


def test_an_unknown_field_selector_is_a_bad_request(core: Any) -> None:
    with pytest.raises(ApiException) as refused:
        core.list_node(field_selector="spec.color=red")
    assert refused.value.status == 400


def test_pages_show_one_moment(core: Any, server: ApiServer) -> None:
    for index in range(5):
        server.create(objects.node(f"n{index}"))
    first = core.list_node(limit=2)
    server.delete("Node", "n4")
    second = core.list_node(limit=2, _continue=first.metadata._continue)
    third = core.list_node(limit=2, _continue=second.metadata._continue)
    names = [found.metadata.name for page in (first, second, third) for found in page.items]
    assert names == [f"n{index}" for index in range(5)]
    assert (first.metadata.remaining_item_count, third.metadata._continue) == (3, None)


def test_a_watch_begins_with_what_is_there_and_goes_on(core: Any, server: ApiServer) -> None:
    server.create(objects.node("n1"))
    threading.Timer(0.2, lambda: server.create(objects.node("n2"))).start()
    events = itertools.islice(watched(core.list_node, timeout_seconds=10), 2)
    seen = [(event["type"], event["object"].metadata.name) for event in events]
    assert seen == [("ADDED", "n1"), ("ADDED", "n2")]


def test_an_object_enters_and_leaves_a_watched_selection(core: Any, server: ApiServer) -> None:
    version = core.list_node().metadata.resource_version
    server.create(objects.node("n1"))
    server.patch("Node", "n1", {"metadata": {"labels": {"gpu": "yes"}}})
    server.patch("Node", "n1", {"metadata": {"labels": {"gpu": None}}})
    stream = watched(core.list_node, resource_version=version, label_selector="gpu", timeout_seconds=1)
    assert [event["type"] for event in stream] == ["ADDED", "DELETED"]


def test_a_watch_from_a_forgotten_version_is_gone(core: Any, server: ApiServer) -> None:
    version = core.list_node().metadata.resource_version
    server.create(objects.node("n1"))
    server.store.forget()
    with pytest.raises(ApiException) as refused:
        list(watched(core.list_node, resource_version=version, timeout_seconds=1))
    assert refused.value.status == 410


def test_status_and_the_rest_are_written_apart(dra: Any, server: ApiServer) -> None:
    server.create(objects.claim("c"))
    main = server.get("ResourceClaim", "c")
    server.update({**main, "status": {"allocation": objects.allocation()}})
    assert dra.read_namespaced_resource_claim("c", "default").status is None
    status = {"status": {"allocation": objects.allocation()}, "metadata": {"labels": {"a": "b"}}}
    dra.patch_namespaced_resource_claim_status("c", "default", status)
    found = dra.read_namespaced_resource_claim("c", "default")
    assert found.status.allocation.devices.results[0].device == "gpu-0"
    assert found.metadata.labels is None


def test_finalizers_keep_a_deleted_object(core: Any, server: ApiServer) -> None:
    body = {"metadata": {"name": "c", "finalizers": ["example.com/keep"]}}
    core.create_namespaced_config_map("default", body)
    server.delete("ConfigMap", "c")
    assert core.read_namespaced_config_map("c", "default").metadata.deletion_timestamp is not None
    core.patch_namespaced_config_map("c", "default", {"metadata": {"finalizers": None}})
    assert core.list_namespaced_config_map("default").items == []


def test_both_event_groups_show_the_same_event(core: Any, api_client: Any) -> None:
    body = {
        "metadata": {"name": "e", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Why",
        "note": "because",
        "type": "Warning",
        "action": "Look",
        "reportingController": "us",
        "reportingInstance": "us-1",
    }
    events: Any = client.EventsV1Api(api_client)
    events.create_namespaced_event("default", body)
    (found,) = core.list_namespaced_event("default", field_selector="involvedObject.name=p").items
    assert (found.message, found.reporting_component, found.involved_object.kind) == ("because", "us", "Pod")


def test_a_server_that_comes_back_has_its_objects(core: Any, server: ApiServer) -> None:
    core.create_node(objects.node("n1"))
    server.stop()
    server.start()
    assert [found.metadata.name for found in core.list_node().items] == ["n1"]


def test_discovery_names_every_resource(api_client: Any) -> None:
    groups = {group.name for group in client.ApisApi(api_client).get_api_versions().groups}
    assert {"resource.k8s.io", "apps", "coordination.k8s.io", "events.k8s.io"} <= groups
    listed = client.ResourceV1Api(api_client).get_api_resources().resources
    assert "resourceclaims/status" in {entry.name for entry in listed}
    assert client.VersionApi(api_client).get_code().git_version.startswith("v1.")


def test_a_kubeconfig_names_the_server(server: ApiServer, tmp_path: Path) -> None:
    assert server.url in server.write_kubeconfig(tmp_path / "k").read_text(encoding="utf-8")
