"""filter and prioritize over real sockets, both ways: through Flask, and past it. Each way keeps the same promises."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partita_scheduler.answers.verbs import VERBS
from partita_scheduler.cluster.view import ClusterView
from tests.scheduler.edge.bodies import BODIES
from tests.scheduler.edge.fakes import FixedPolicy, World, body, make_claim, make_nodes, make_pod
from tests.scheduler.edge.ways import Ask, Told, Way
from tests.waiting import WAIT_SECONDS


@pytest.fixture
def world() -> World:
    made = World(FixedPolicy(fits=("b", "c")))
    made.source.current = ClusterView(nodes=make_nodes("a", "b", "c"), claims={("default", "wish"): make_claim()})
    return made


@pytest.fixture(scope="module", params=["flask", "quick"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    made = Way(quick=request.param == "quick")
    yield made
    made.server.stop()


@pytest.fixture
def ask(way: Way, world: World) -> Iterator[Ask]:
    way.give(world)
    connection = http.client.HTTPConnection(way.address.host, way.address.port, timeout=WAIT_SECONDS)

    def post(verb: str, raw: bytes) -> Told:
        connection.request("POST", f"/{verb}", raw, {"Accept-Encoding": "gzip", "Content-Type": "application/json"})
        answer = connection.getresponse()
        return Told(answer.status, dict(answer.headers), answer.read())

    yield post
    connection.close()


def test_filter_answers_with_go_names_and_a_list(ask: Ask) -> None:
    told = ask("filter", body(make_pod(), "a", "b"))
    assert told.json == {
        "Nodes": None,
        "NodeNames": ["a", "b"],
        "FailedNodes": {},
        "FailedAndUnresolvableNodes": {},
        "Error": "",
    }
    assert told.headers["Content-Type"] == "application/json"
    assert told.headers["Date"].endswith("GMT")


def test_filter_tells_which_nodes_it_refuses_and_why(ask: Ask, world: World) -> None:
    world.policy.hard = {"c": "no such link", "elsewhere": "not asked about"}
    told = ask("filter", body(make_pod(), "a", "b", "c", "a")).json
    assert told["NodeNames"] == ["a", "b", "a"]
    assert told["FailedNodes"] == {"c": "no such link"}


def test_choose_answers_with_one_name_as_filter_answers_with_many(ask: Ask, world: World) -> None:
    told = ask("choose", body(make_pod(), "a", "b", "c"))
    assert told.json == {**ask("filter", body(make_pod())).json, "NodeNames": ["b"]}
    world.policy.fits = ()
    world.policy.hard = {"c": "no such link"}
    told = ask("choose", body(make_pod("other"), "a", "b", "c"))
    assert (told.json["NodeNames"], told.json["FailedNodes"]) == (["a", "b"], {"c": "no such link"})


def test_duplicate_and_unknown_names_come_back_as_they_came(ask: Ask) -> None:
    assert ask("filter", body(make_pod(), "b", "b", "ghost")).json["NodeNames"] == ["b", "b", "ghost"]


def test_prioritize_answers_with_a_bare_array_of_whole_numbers(ask: Ask) -> None:
    told = ask("prioritize", body(make_pod(), "a", "b", "c"))
    assert b"." not in told.raw
    assert told.json == [{"Host": "a", "Score": 0}, {"Host": "b", "Score": 10}, {"Host": "c", "Score": 5}]


def test_an_empty_node_list_is_answered_with_an_empty_list_not_null(ask: Ask) -> None:
    assert ask("filter", body(make_pod())).json["NodeNames"] == []
    assert ask("choose", body(make_pod())).json["NodeNames"] == []
    assert ask("prioritize", body(make_pod())).json == []


def test_the_names_of_a_pod_without_claims_come_back_as_they_came_and_none_is_preferred(ask: Ask) -> None:
    spaced = b'[ "b", "b",\n"\\u0061", "ghost" ]'
    raw = body(make_pod(claim="")).replace(b"[]", spaced)
    assert spaced in ask("filter", raw).raw
    assert spaced in ask("choose", raw).raw
    assert ask("prioritize", raw).json == []


@pytest.mark.parametrize(("claim", "names"), [("wish", b"[1]"), ("wish", b"7"), ("", b'{"a":1}'), ("", b'"a"')])
def test_names_that_are_none_are_a_400(ask: Ask, claim: str, names: bytes) -> None:
    for verb in VERBS:
        told = ask(verb, b'{"Pod":' + json.dumps(_pod(claim)).encode() + b',"NodeNames":' + names + b"}")
        assert told.status == HTTPStatus.BAD_REQUEST
        assert "$.NodeNames" in told.json["Error"]


def test_a_bad_request_is_a_400_that_says_what_is_wrong(ask: Ask) -> None:
    told = ask("filter", b'{"Pod": 7}')
    assert told.status == HTTPStatus.BAD_REQUEST
    assert "$.Pod" in told.json["Error"]


def test_a_defect_is_a_500_and_the_next_question_is_answered(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("partita_scheduler.answers.verbs.render_filter", lambda *_: 1 / 0)
        assert ask("filter", body(make_pod(), "a")).status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert ask("filter", body(make_pod(), "a")).status == HTTPStatus.OK


def test_a_standby_lets_go_of_the_connection_so_that_the_leader_is_found(ask: Ask, world: World) -> None:
    assert "Connection" not in ask("filter", body(make_pod(), "a")).headers
    world.answering = False
    assert ask("filter", body(make_pod(), "a")).headers["Connection"] == "close"


def test_requests_are_counted_once_by_verb_and_outcome(ask: Ask, world: World) -> None:
    ask("filter", body(make_pod(), "a"))
    ask("filter", body(make_pod(claim=""), "a"))
    ask("filter", b"rubbish")
    ask("prioritize", body(make_pod(), "a").replace(b'["a"]', b"[1]"))
    counted = {
        (sample.labels["verb"], sample.labels["outcome"]): sample.value
        for family in world.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "partita_scheduler_request_seconds_count" and sample.value
    }
    assert counted == {
        ("filter", "opinion"): 1,
        ("filter", "not_concerned"): 1,
        ("filter", "bad_request"): 1,
        ("prioritize", "bad_request"): 1,
    }


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(VERBS), raw=BODIES)
def test_no_body_breaks_a_verb(ask: Ask, verb: str, raw: bytes) -> None:
    told = ask(verb, raw)
    assert told.status in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST}
    if told.status == HTTPStatus.BAD_REQUEST:
        assert told.json["Error"]
    elif verb == "prioritize":
        assert all(type(entry["Score"]) is int and 0 <= entry["Score"] <= 10 for entry in told.json)
    else:
        args = json.loads(raw)
        names = args.get("NodeNames")
        asked = args["nodeNames"] if names is None else names
        chosen = ["b"] if verb == "choose" and "b" in asked else asked
        assert told.json["NodeNames"] in (asked, chosen)


def _pod(claim: str) -> dict[str, Any]:
    claims = [{"name": "gpu", "resourceClaimName": claim}] if claim else []
    return {"metadata": {"name": "p", "uid": "u"}, "spec": {"resourceClaims": claims}}
