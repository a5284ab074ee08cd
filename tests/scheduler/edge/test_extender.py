"""The routes, through Flask's own client: answers as kube-scheduler decodes them, and nothing that a body can break."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partita_scheduler.cluster.view import ClusterView, PodResourceClaim, PodSpec
from partita_scheduler.extender import create_app
from tests.scheduler.edge.fakes import FixedPolicy, World, body, make_claim, make_nodes, make_pod, unschedulable


@pytest.fixture
def world() -> World:
    made = World(FixedPolicy(fits=("b", "c")))
    made.source.current = ClusterView(nodes=make_nodes("a", "b", "c"), claims={("default", "wish"): make_claim()})
    return made


@pytest.fixture
def client(world: World) -> FlaskClient:
    return create_app(world.parts).test_client()


def test_filter_answers_with_go_names_and_a_list(client: FlaskClient) -> None:
    answer = client.post("/filter", data=body(make_pod(), "a", "b"))
    assert answer.get_json() == {
        "Nodes": None,
        "NodeNames": ["a", "b"],
        "FailedNodes": {},
        "FailedAndUnresolvableNodes": {},
        "Error": "",
    }


def test_prioritize_answers_with_a_bare_array_of_whole_numbers(client: FlaskClient) -> None:
    raw = client.post("/prioritize", data=body(make_pod(), "a", "b", "c")).data
    assert b"." not in raw
    assert json.loads(raw) == [{"Host": "a", "Score": 0}, {"Host": "b", "Score": 10}, {"Host": "c", "Score": 5}]


def test_an_empty_node_list_is_answered_with_an_empty_list_not_null(client: FlaskClient) -> None:
    assert client.post("/filter", data=body(make_pod())).get_json()["NodeNames"] == []
    assert client.post("/prioritize", data=body(make_pod())).get_json() == []


def test_several_pods_are_simulated_one_after_the_other(client: FlaskClient, world: World) -> None:
    asked = {"pods": [make_pod(claim=""), make_pod(claim="")]}
    found = client.post("/simulate", data=msgspec.json.encode(asked)).get_json()
    assert [one["feasible"][0]["nodes"] for one in found["placements"]] == [["a", "b", "c"]] * 2
    assert len(world.assumptions) == 0


def test_a_bad_request_is_a_400_that_says_what_is_wrong(client: FlaskClient) -> None:
    answer = client.post("/filter", data=b'{"Pod": 7}')
    assert answer.status_code == 400
    assert "$.Pod" in answer.get_json()["Error"]


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
        world.decider._aside.acquire(blocking=False)
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


def test_a_standby_lets_go_of_the_connection_so_that_the_leader_is_found(client: FlaskClient, world: World) -> None:
    assert "Connection" not in client.post("/filter", data=body(make_pod(), "a")).headers
    world.answering = False
    assert client.post("/filter", data=body(make_pod(), "a")).headers["Connection"] == "close"


def test_metrics_count_requests_by_verb_and_outcome(client: FlaskClient) -> None:
    client.post("/filter", data=body(make_pod(), "a"))
    client.post("/filter", data=b"rubbish")
    text = client.get("/metrics").text
    assert 'partita_scheduler_request_seconds_count{outcome="opinion",verb="filter"} 1.0' in text
    assert 'partita_scheduler_request_seconds_count{outcome="bad_request",verb="filter"} 1.0' in text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_KEYS = st.sampled_from(
    ["Pod", "pod", "NodeNames", "nodeNames", "Nodes", "NodeNameToMetaVictims", "NodeNameToVictims", "claims", "Claims"]
)
_POD = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries({}, optional={"name": st.text(max_size=300) | _JSON, "uid": _JSON}),
        "spec": st.fixed_dictionaries(
            {}, optional={"resourceClaims": _JSON, "containers": _JSON, "tolerations": _JSON}
        ),
        "status": _JSON,
    },
)
_ARGS = st.fixed_dictionaries(
    {"Pod": _POD | _JSON}, optional={"NodeNames": st.lists(st.text(max_size=260), max_size=5) | _JSON, "Claims": _JSON}
)
_BODIES = (
    st.binary(max_size=200)
    | st.dictionaries(_KEYS, _JSON | _POD, max_size=5).map(lambda value: json.dumps(value).encode())
    | _ARGS.map(lambda value: json.dumps(value).encode())
    | st.integers(0, 60_000).map(lambda depth: b'{"Pod": ' + b'{"spec": ' * depth)
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(["filter", "prioritize", "preempt", "simulate"]), raw=_BODIES)
def test_no_body_breaks_a_verb(client: FlaskClient, verb: str, raw: bytes) -> None:
    answer = client.post(f"/{verb}", data=raw)
    assert answer.status_code in {200, 400}
    found = json.loads(answer.data, parse_constant=_refuse)
    if answer.status_code == 400:
        assert found["Error"]
    elif verb == "filter":
        assert set(found["NodeNames"]) <= set(_names(raw))
    elif verb == "prioritize":
        assert all(type(entry["Score"]) is int and 0 <= entry["Score"] <= 10 for entry in found)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(max_size=40))
def test_no_path_breaks_a_question(client: FlaskClient, path: str) -> None:
    for start in ("/explain/default/", "/explain/", "/"):
        # The client takes what follows two slashes for a host.
        url = start + path.replace("?", "").replace("#", "").lstrip("/").encode("utf-8", "replace").decode()
        assert client.get(url).status_code < 500


def _names(raw: bytes) -> list[str]:
    args: Any = json.loads(raw)
    return args.get("NodeNames") or args.get("nodeNames") or []


def _refuse(constant: str) -> None:
    raise AssertionError(f"Go does not read {constant}")
