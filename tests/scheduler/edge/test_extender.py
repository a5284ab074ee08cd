"""The routes, through Flask's own client: answers as kube-scheduler decodes them, and nothing that a body can break."""

from __future__ import annotations

import json

import msgspec
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partita_scheduler.cluster.view import ClusterView, PodResourceClaim, PodSpec
from partita_scheduler.extender import create_app
from tests.scheduler.edge.bodies import BODIES
from tests.scheduler.edge.fakes import FixedPolicy, World, body, make_claim, make_nodes, make_pod, unschedulable


@pytest.fixture
def world() -> World:
    made = World(FixedPolicy(fits=("b", "c")))
    made.source.current = ClusterView(nodes=make_nodes("a", "b", "c"), claims={("default", "wish"): make_claim()})
    return made


@pytest.fixture
def client(world: World) -> FlaskClient:
    return create_app(world.parts).test_client()


def test_several_pods_are_simulated_one_after_the_other(client: FlaskClient, world: World) -> None:
    asked = {"pods": [make_pod(claim=""), make_pod(claim="")]}
    found = client.post("/simulate", data=msgspec.json.encode(asked)).get_json()
    assert [one["feasible"][0]["nodes"] for one in found["placements"]] == [["a", "b", "c"]] * 2
    assert len(world.assumptions) == 0


def test_a_bad_request_is_a_400_that_says_what_is_wrong_and_is_counted(client: FlaskClient) -> None:
    answer = client.post("/preempt", data=b'{"NodeNameToVictims": 7}')
    assert answer.status_code == 400
    assert "$.NodeNameToVictims" in answer.get_json()["Error"]
    counted = 'partita_scheduler_request_seconds_count{outcome="bad_request",verb="preempt"} 1.0'
    assert counted in client.get("/metrics").text


def test_a_body_over_the_bound_is_a_413(world: World) -> None:
    client = create_app(world.parts, max_body_bytes=100).test_client()
    assert client.post("/filter", data=b" " * 101).status_code == 413


def test_a_simulation_says_where_and_why_not_and_changes_nothing(client: FlaskClient, world: World) -> None:
    found = client.post("/simulate", data=msgspec.json.encode({"pod": make_pod()})).get_json()
    assert found["fits"] is True
    assert [node["node"] for node in found["nodes"]] == ["b", "c", "a"]
    assert found["nodes"][0]["devices"] == {"wish": ["gpu.partita.dev/b/gpu-0"]}
    assert found["nodes"][2]["reasons"] == [{"code": "taken", "text": "no GPU free"}]
    assert len(world.assumptions) == 0
    assert client.get("/predictions").get_json() == []


def test_a_simulation_sees_the_claims_it_brings_and_the_templates_they_stand_for(
    client: FlaskClient, world: World
) -> None:
    pod = msgspec.structs.replace(
        make_pod(), spec=PodSpec(resource_claims=[PodResourceClaim(name="gpu", resource_claim_template_name="tmpl")])
    )
    client.post("/simulate", data=msgspec.json.encode({"pod": pod, "claims": [make_claim("tmpl")]}))
    assert ("default", "tmpl") in world.policy.calls[-1].claims
    assert ("default", "tmpl") not in world.source.current.claims


def test_a_busy_simulation_asks_to_come_back(client: FlaskClient, world: World) -> None:
    for _ in range(2):
        world.aside._slots.acquire(blocking=False)
    answer = client.post("/simulate", data=msgspec.json.encode({"pod": make_pod()}))
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert client.post("/filter", data=body(make_pod(), "a")).status_code == 200


def test_a_nodes_taint_counts_before_its_gpus(client: FlaskClient, world: World) -> None:
    tainted = json.loads('{"metadata": {"name": "b"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}')
    nodes = {**make_nodes("a"), "b": msgspec.convert(tainted, type(make_nodes("b")["b"]))}
    world.source.current = ClusterView(nodes=nodes)
    found = client.post("/simulate", data=msgspec.json.encode({"pod": make_pod()})).get_json()
    assert found["fits"] is False
    assert "node taint k not tolerated" in found["summary"]


def test_a_pending_pod_is_explained_now_and_a_placed_one_from_memory(client: FlaskClient, world: World) -> None:
    world.source.pods = [unschedulable(make_pod("waiting"))]
    client.post("/prioritize", data=body(make_pod("placed"), "a", "b"))
    assert client.get("/explain/default/waiting").get_json()["nodes"][0]["node"] == "b"
    assert client.get("/explain/default/placed").get_json()["nodes"][0]["score"] == 10
    assert client.get("/explain/default/nobody").status_code == 404


def test_not_ready_names_the_reason_and_is_still_healthy(client: FlaskClient, world: World) -> None:
    assert client.get("/readyz").status_code == 200
    world.source.why_not = "stale"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "stale\n")
    assert client.get("/healthz").status_code == 200


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(max_size=40))
def test_no_path_breaks_a_question(client: FlaskClient, path: str) -> None:
    for start in ("/explain/default/", "/explain/", "/"):
        # The client takes what follows two slashes for a host.
        url = start + path.replace("?", "").replace("#", "").lstrip("/").encode("utf-8", "replace").decode()
        assert client.get(url).status_code < 500


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(["preempt", "simulate"]), raw=BODIES)
def test_no_body_breaks_a_verb(client: FlaskClient, verb: str, raw: bytes) -> None:
    answer = client.post(f"/{verb}", data=raw)
    assert answer.status_code in {200, 400}
    if answer.status_code == 400:
        assert answer.get_json()["Error"]
