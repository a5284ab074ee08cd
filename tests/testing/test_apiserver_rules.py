"""What the API server refuses, and says, where a driver or a scheduler makes a mistake."""

from __future__ import annotations

import http.client
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from partita_plugins.testing.apiserver import ApiError, ApiServer, Fault, LocalApi
from partita_plugins.testing.apiserver.patches import json_patch, merge, strategic
from tests.testing import objects
from tests.testing.objects import Json


def taint_rule(**spec: Any) -> Json:
    body = {"taint": TAINT, **spec}
    metadata = {"name": "drain"}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceTaintRule", "metadata": metadata, "spec": body}


COUNTED = [{"counterSet": "gpus", "counters": {"g0p0": {"value": "2"}}}]
TAINT = {"key": "example.com/bad", "effect": "NoSchedule"}
SHARED = {"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi", "max": "8Gi"}}


def devices(count: int, **more: Any) -> list[Json]:
    return [{"name": f"gpu-{index}", **more} for index in range(count)]


def counter_sets(count: int, counters: int = 1) -> list[Json]:
    values = {f"c{index}": {"value": "1"} for index in range(counters)}
    return [{"name": f"set-{index}", "counters": values} for index in range(count)]


@pytest.mark.parametrize(
    "spec",
    [
        {"devices": devices(128)},
        {"devices": devices(64, consumesCounters=COUNTED)},
        {"devices": None, "sharedCounters": counter_sets(8, 32)},
        {"pool": {"name": "gpu.partita.dev/n1", "generation": 3, "resourceSliceCount": 2}},
        {"devices": devices(1, attributes={"productName": {"string": "NVIDIA H100"}, "driver": {"version": "1.2.3"}})},
        {
            "devices": devices(
                1, allowMultipleAllocations=True, capacity={"memory": {"value": "8Gi", "requestPolicy": SHARED}}
            )
        },
    ],
)
def test_a_correct_slice_is_stored(spec: Json) -> None:
    assert LocalApi().create(objects.resource_slice("s", **spec))["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"devices": devices(129)}, "must have at most 128"),
        ({"devices": devices(65, taints=[TAINT])}, "must have at most 64"),
        ({"devices": devices(65, consumesCounters=COUNTED)}, "must have at most 64"),
        ({"sharedCounters": counter_sets(1)}, "only one of devices and sharedCounters"),
        ({"devices": None, "sharedCounters": counter_sets(9)}, "must have at most 8"),
        ({"devices": None, "sharedCounters": counter_sets(1, 33)}, "must have at most 32"),
        (
            {"devices": devices(1, consumesCounters=[{**COUNTED[0], "counterSet": f"s{i}"} for i in range(3)])},
            "at most 2",
        ),
        ({"devices": [{"name": "GPU_0"}]}, "must be a DNS label"),
        ({"devices": [{"name": "gpu-0"}, {"name": "gpu-0"}]}, "Duplicate value"),
        ({"devices": devices(1, attributes={"a": {"string": "x" * 65}})}, "up to 64 bytes"),
        ({"devices": devices(1, attributes={"a": {"version": "580.65"}})}, "semantic version"),
        ({"devices": devices(1, attributes={"a": {"int": 1, "bool": True}})}, "exactly one of"),
        ({"devices": devices(1, attributes={f"a{i}": {"int": 1} for i in range(33)})}, "33 attributes"),
        ({"devices": devices(1, attributes={"not-c": {"int": 1}})}, "C identifier"),
        ({"devices": devices(1, capacity={"memory": {"value": "lots"}})}, "is no quantity"),
        ({"devices": devices(1, capacity={"memory": {"value": "8Gi", "requestPolicy": SHARED}})}, "Forbidden"),
        ({"devices": devices(1, taints=[{"key": "a", "effect": "Never"}])}, "supported values"),
        ({"nodeName": "n1", "allNodes": True}, "exactly one of nodeName"),
        ({"pool": {"name": "n1", "generation": 1, "resourceSliceCount": 0}}, "greater than 0"),
    ],
)
def test_a_slice_beyond_the_limits_is_invalid(spec: Json, said: str) -> None:
    with pytest.raises(ApiError, match=said) as refused:
        LocalApi().create(objects.resource_slice("s", **spec))
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")


def test_a_slice_stays_with_its_node() -> None:
    api = LocalApi()
    made = api.create(objects.resource_slice("s"))
    with pytest.raises(ApiError, match="immutable"):
        api.update({**made, "spec": {**made["spec"], "nodeName": "n2"}})


def test_a_taint_without_a_time_is_stamped() -> None:
    made = LocalApi().create(objects.resource_slice("s", devices=devices(1, taints=[TAINT])))
    assert made["spec"]["devices"][0]["taints"][0]["timeAdded"]


@pytest.fixture
def claims(server: ApiServer) -> ApiServer:
    server.create(objects.claim("c"))
    return server


def set_status(api: LocalApi, **status: Any) -> Json:
    return api.update({**api.get("ResourceClaim", "c"), "status": status}, subresource="status")


def test_a_claim_gets_the_defaults_of_its_request(claims: ApiServer) -> None:
    request = claims.get("ResourceClaim", "c")["spec"]["devices"]["requests"][0]["exactly"]
    assert (request["allocationMode"], request["count"]) == ("ExactCount", 1)


def test_an_allocation_stays_until_nobody_reserves(claims: ApiServer) -> None:
    consumer = {"resource": "pods", "name": "p", "uid": "u"}
    with pytest.raises(ApiError, match="reservedFor"):
        set_status(claims, reservedFor=[consumer])
    set_status(claims, allocation=objects.allocation(), reservedFor=[consumer])
    with pytest.raises(ApiError, match="immutable"):
        set_status(claims, allocation=objects.allocation("gpu-1"), reservedFor=[consumer])
    assert set_status(claims)["status"] == {}


def test_device_status_is_only_for_allocated_devices(claims: ApiServer) -> None:
    entry = {"driver": objects.DRIVER, "pool": "n1", "device": "gpu-0"}
    set_status(claims, allocation=objects.allocation(), devices=[entry])
    with pytest.raises(ApiError, match="must be an allocated device"):
        set_status(claims, allocation=objects.allocation(), devices=[{**entry, "device": "gpu-9"}])
    assert set_status(claims, devices=[entry])["status"] == {}, "it vanishes with the allocation"


def test_a_running_pod_goes_away_when_its_kubelet_says_so(server: ApiServer) -> None:
    server.create(objects.pod("p", node="n1"))
    server.delete("Pod", "p")
    found = server.get("Pod", "p")
    assert found["metadata"]["deletionGracePeriodSeconds"] == 30
    with pytest.raises(ApiError, match="UID in precondition"):
        server.delete("Pod", "p", grace_seconds=0, uid="another")
    server.delete("Pod", "p", grace_seconds=0, uid=found["metadata"]["uid"])
    assert len(server.list("Pod")) == 0


def test_a_pod_is_bound_once(server: ApiServer) -> None:
    made = server.create(objects.pod("p"))
    server.bind(made, "n1")
    with pytest.raises(ApiError, match="already assigned"):
        server.bind(made, "n2")
    assert server.get("Pod", "p")["status"]["conditions"][0]["type"] == "PodScheduled"


def test_what_is_given_out_are_copies(server: ApiServer) -> None:
    server.create(objects.node("n1"))["metadata"]["name"] = "changed"
    assert server.get("Node", "n1")["metadata"]["name"] == "n1"
    assert set(server.dump()) == {"namespaces", "nodes", "serviceaccounts"}


def raw(
    server: ApiServer, method: str, path: str, body: bytes = b"", media: str = "application/json"
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    try:
        connection.request(method, path, body, {"Content-Type": media})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("request_line", "body", "media", "code"),
    [
        ("GET /api/v1/unicorns", b"", "application/json", 404),
        ("POST /api/v1/nodes", b"{", "application/json", 400),
        ("POST /api/v1/nodes", b"[]", "application/json", 400),
        ("POST /api/v1/nodes", b'{"metadata": 1}', "application/json", 400),
        ("POST /api/v1/nodes", b"{}", "text/plain", 415),
        ("POST /api/v1/pods", b"{}", "application/json", 405),
        ("POST /api/v1/namespaces/none/pods", b'{"metadata":{"name":"p"}}', "application/json", 404),
        ("PATCH /api/v1/nodes/n", b"{}", "application/json", 415),
        ("GET /api/v1/nodes?limit=many", b"", "application/json", 400),
    ],
)
def test_a_wrong_request_gets_a_status(
    server: ApiServer, request_line: str, body: bytes, media: str, code: int
) -> None:
    method, path = request_line.split()
    found, answer = raw(server, method, path, body, media)
    assert found == code
    assert b'"kind":"Status"' in answer


def test_a_body_that_is_too_large_is_not_read(server: ApiServer) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=5) as connection:
        connection.sendall(b"POST /api/v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        assert b" 413 " in connection.recv(4096)


def test_planted_faults_hit_and_pass(server: ApiServer) -> None:
    fault = server.faults.fail(503, method="GET", path="/nodes", times=2)
    codes = [raw(server, "GET", "/api/v1/nodes")[0] for _ in range(3)]
    assert (codes, fault.hits) == ([503, 503, 200], 2)
    assert [seen.code for seen in server.requests] == codes


def test_an_answer_can_be_lost_after_the_write(server: ApiServer) -> None:
    server.faults.plant(Fault(method="POST", drop=True, after=True))
    with pytest.raises(http.client.RemoteDisconnected):
        raw(server, "POST", "/api/v1/nodes", b'{"metadata":{"name":"n1"}}')
    assert len(server.list("Node")) == 1


def test_apply_creates_and_merges(server: ApiServer) -> None:
    path, media = "/api/v1/namespaces/default/configmaps/c?fieldManager=us", "application/apply-patch+yaml"
    assert raw(server, "PATCH", path, b"data: {a: '1'}", media)[0] == 200
    assert raw(server, "PATCH", path, b"data: {b: '2'}", media)[0] == 200
    assert server.get("ConfigMap", "c")["data"] == {"a": "1", "b": "2"}


def test_patches_change_what_they_name() -> None:
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None}, "d": [1]}) == {"a": {"c": 2}, "d": [1]}
    operations = [{"op": "add", "path": "/l/-", "value": 2}, {"op": "remove", "path": "/a~1b"}]
    assert json_patch({"l": [1], "a/b": 0}, operations) == {"l": [1, 2]}
    with pytest.raises(ApiError, match="testing value"):
        json_patch({"a": 1}, [{"op": "test", "path": "/a", "value": 2}])
    merged = strategic({"conditions": [{"type": "A", "status": "x"}]}, {"conditions": [{"type": "B"}, {"type": "A"}]})
    assert merged == {"conditions": [{"type": "A", "status": "x"}, {"type": "B"}]}


def test_a_taint_rule_gets_its_time_from_the_server() -> None:
    made = LocalApi().create(taint_rule(deviceSelector={"pool": "gpu.partita.dev/n1"}))
    assert made["spec"]["taint"].keys() == {*TAINT, "timeAdded"}
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"taint": {"key": "a", "effect": "Never"}}, "supported values"),
        ({"taint": None}, "must be a label key"),
        ({"deviceSelector": {"device": "GPU_0"}}, "is no name"),
    ],
)
def test_a_wrong_taint_rule_is_invalid(spec: Json, said: str) -> None:
    with pytest.raises(ApiError, match=said):
        LocalApi().create(taint_rule(**spec))
