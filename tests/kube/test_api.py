"""Requests: values in and out, errors by what to do next."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from kubernetes import client
from kubernetes.config import ConfigException

from partita_plugins.errors import Permanent, Retryable
from partita_plugins.kube import api as kube
from partita_plugins.kube import errors
from partita_plugins.kube.changes import Added, Changed, Deleted
from partita_plugins.kube.events import EventRecorder
from partita_plugins.kube.resources import CONFIG_MAPS, EVENTS, NODES, RESOURCE_CLAIMS
from partita_plugins.testing.apiserver.faults import Fault
from partita_plugins.testing.apiserver.server import ApiServer
from partita_plugins.wire.resource_claim import ResourceClaim


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_paths_are_those_of_the_api() -> None:
    assert NODES.path("n") == "/api/v1/nodes/n"
    assert RESOURCE_CLAIMS.path("c", "ns", "status") == "/apis/resource.k8s.io/v1/namespaces/ns/resourceclaims/c/status"
    assert RESOURCE_CLAIMS.path() == "/apis/resource.k8s.io/v1/resourceclaims"


def test_an_object_comes_back_as_a_value(api: kube.KubeApi) -> None:
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "c"},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.partita.dev"}}]}},
    }
    api.create(RESOURCE_CLAIMS, claim, "default")
    found = api.get(RESOURCE_CLAIMS, "c", "default", as_=ResourceClaim)
    [request] = found.spec.devices.requests or []
    exactly = request.exactly
    assert exactly is not None
    assert exactly.device_class_name == "gpu.partita.dev"
    assert found.status.allocation is None


def test_lists_that_the_api_server_writes_as_null_are_read() -> None:
    """A claim that kube-scheduler makes where a node's device plugin serves all of a pod's extended resources."""
    device = {"driver": "d.example.com", "pool": "p", "device": "x", "conditions": None}
    raw = msgspec.json.encode({"spec": {"devices": {"requests": None}}, "status": {"devices": [device]}})
    found = msgspec.json.decode(raw, type=ResourceClaim)
    assert not found.spec.devices.requests
    assert not found.status.devices[0].conditions


def test_a_list_reads_all_pages(api: kube.KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "LIST_PAGE", 2)
    for number in range(5):
        api.create(CONFIG_MAPS, config_map(f"m{number}"), "default")
    items, version = api.list(CONFIG_MAPS, "default", as_=dict[str, Any])
    assert [item["metadata"]["name"] for item in items if item["metadata"]["name"][0] == "m"] == [
        f"m{number}" for number in range(5)
    ]
    assert version


@pytest.mark.parametrize(
    ("code", "kind"),
    [(409, errors.Conflict), (404, errors.NotFound), (410, errors.Gone), (403, Permanent), (503, Retryable)],
)
def test_an_error_says_what_to_do_next(api: kube.KubeApi, server: ApiServer, code: int, kind: type[Exception]) -> None:
    server.faults.plant(Fault(method="GET", path="nodes", code=code))
    with pytest.raises(kind):
        api.list(NODES, as_=dict[str, Any])


def test_no_server_is_worth_another_try(api: kube.KubeApi, server: ApiServer) -> None:
    server.stop()
    with pytest.raises(errors.Unavailable) as caught:
        api.list(NODES, as_=dict[str, Any])
    assert caught.value.delay_seconds > 0


def test_deleting_what_is_gone_is_a_success(api: kube.KubeApi) -> None:
    api.delete(CONFIG_MAPS, "never", "default")


def test_a_watch_tells_of_changes_since_the_list(api: kube.KubeApi) -> None:
    _, version = api.list(CONFIG_MAPS, as_=dict[str, Any])
    api.create(CONFIG_MAPS, config_map("seen", a="1"), "default")
    api.patch(CONFIG_MAPS, "seen", {"data": {"a": "2"}}, "default")
    api.delete(CONFIG_MAPS, "seen", "default")
    changes = api.watch(CONFIG_MAPS, version, as_=dict[str, Any], timeout_seconds=5)
    assert [type(next(changes)) for _ in range(3)] == [Added, Changed, Deleted]


def test_a_missing_kubeconfig_says_what_to_give() -> None:
    with pytest.raises(Permanent, match=r"by /nowhere/kubeconfig: .*--kubeconfig"):
        kube.KubeApi.connect("/nowhere/kubeconfig")


def test_an_event_repeated_is_counted(api: kube.KubeApi) -> None:
    recorder = EventRecorder(api, "partita-test", "node-a")
    regarding = {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": "default", "uid": "u"}
    for _ in range(3):
        recorder.record(regarding, "Warning", "GpuPlacement", "no 3g free")
    events, _ = api.list(EVENTS, "default", as_=dict[str, Any])
    assert [(event["reason"], event["count"]) for event in events] == [("GpuPlacement", 3)]


def test_an_event_is_told_also_of_an_object_with_a_name_too_long_for_its_own(api: kube.KubeApi) -> None:
    name = f"{'a' * 198}--{'b' * 30}"  # cut where no name may end
    regarding = {"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": "default", "uid": "u"}
    EventRecorder(api, "partita-test", "node-a").record(regarding, "Normal", "GpuPlacement", "no 3g free")
    (event,), _ = api.list(EVENTS, "default", as_=dict[str, Any])
    assert event["involvedObject"]["name"] == name


def test_a_slow_server_does_not_hold_a_caller_longer_than_its_deadline(api: kube.KubeApi, server: ApiServer) -> None:
    server.faults.plant(Fault(path="nodes", delay_seconds=60))
    begun = time.monotonic()
    with pytest.raises(errors.Unavailable):
        api.request("GET", NODES.path(), timeout_seconds=0.3)
    assert time.monotonic() - begun < 30


def test_credentials_that_cannot_be_renewed_now_are_an_error_that_says_later(
    api: kube.KubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigException("Token file exists but empty.")

    monkeypatch.setattr(api._client, "update_params_for_auth", refuse)
    with pytest.raises(errors.Unavailable, match="Token file"):
        api.request("GET", NODES.path())


def test_a_watch_whose_refusal_breaks_off_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def refuse() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 100\r\n\r\n{")

        served = pool.submit(refuse)
        configuration = client.Configuration()
        configuration.host = f"http://127.0.0.1:{listening.getsockname()[1]}"
        watch = kube.KubeApi(configuration).watch(NODES, "1", as_=dict[str, Any], timeout_seconds=5)
        with pytest.raises(errors.Unavailable):
            next(iter(watch))
        served.result()
