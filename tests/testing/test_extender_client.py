"""An extender called as kube-scheduler calls it, and what kube-scheduler makes of bad answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from partita_plugins.testing.extender_client import (
    ExtenderClient,
    ExtenderConfig,
    ExtenderError,
    run_filters,
    run_prioritize,
)
from tests.testing import objects

NODES = ["n1", "n2", "n3"]


class ExtenderDouble(HTTPServer):
    """Answers what it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def client(self, **config: Any) -> ExtenderClient:
        return ExtenderClient(ExtenderConfig(url_prefix=f"http://127.0.0.1:{self.server_port}/scheduler", **config))


class Handler(BaseHTTPRequestHandler):
    server: ExtenderDouble

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        code, answer = self.server.answers[self.path.rpartition("/")[2]]
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in http.server
        """Nothing."""


@pytest.fixture
def extender() -> Iterator[ExtenderDouble]:
    with ExtenderDouble() as double:
        thread = threading.Thread(target=double.serve_forever, args=(0.02,))
        thread.start()
        yield double
        double.shutdown()
        thread.join()


def test_a_filter_keeps_and_gives_reasons(extender: ExtenderDouble) -> None:
    extender.answers["filter"] = 200, {"NodeNames": ["n2"], "FailedNodes": {"n1": "busy"}, "Error": ""}
    result = run_filters([extender.client()], objects.pod("p"), NODES)
    assert (result.nodes, result.failed) == (("n2",), {"n1": "busy"})
    path, body = extender.asked[0]
    assert (path, set(body), body["Nodes"], body["NodeNames"]) == (
        "/scheduler/filter",
        {"Pod", "Nodes", "NodeNames"},
        None,
        NODES,
    )


@pytest.mark.parametrize(
    "answer",
    [(500, {}), (200, {"Error": "no view yet"}), (200, {"NodeNames": ["other"]}), (200, [])],
    ids=["code", "error", "stranger", "shape"],
)
def test_a_bad_filter_fails_the_pod_unless_ignorable(extender: ExtenderDouble, answer: tuple[int, Any]) -> None:
    extender.answers["filter"] = answer
    with pytest.raises(ExtenderError):
        extender.client().filter(objects.pod("p"), NODES)
    result = extender.client(ignorable=True).filter(objects.pod("p"), NODES)
    assert result.nodes == tuple(NODES)
    assert result.ignored


def test_no_node_names_are_no_nodes(extender: ExtenderDouble) -> None:
    extender.answers["filter"] = 200, {"Error": ""}
    assert extender.client().filter(objects.pod("p"), NODES).nodes == ()


def test_scores_are_weighted_and_a_single_node_is_not_asked_about(extender: ExtenderDouble) -> None:
    extender.answers["prioritize"] = 200, [{"Host": "n1", "Score": 10}, {"Host": "n2", "Score": 3}]
    clients = [extender.client(weight=2)]
    assert run_prioritize(clients, objects.pod("p"), NODES) == {"n1": 200, "n2": 60, "n3": 0}
    assert run_prioritize(clients, objects.pod("p"), ["n3"]) == {"n3": 0}
    assert len(extender.asked) == 1


def test_a_fractional_score_loses_the_whole_answer(extender: ExtenderDouble) -> None:
    extender.answers["prioritize"] = 200, [{"Host": "n1", "Score": 7.0}]
    assert extender.client().prioritize(objects.pod("p"), NODES) == {}


def test_a_stopped_extender_is_ignored_where_it_may_be() -> None:
    config = ExtenderConfig(url_prefix="http://127.0.0.1:9", ignorable=True, http_timeout_seconds=0.5)
    assert ExtenderClient(config).filter(objects.pod("p"), NODES).nodes == tuple(NODES)


def test_managed_resources_look_at_containers_only(extender: ExtenderDouble) -> None:
    client = extender.client(managed_resources=frozenset({"nvidia.com/gpu"}))
    plain = objects.pod("p", claims={"gpu": "c"})
    assert not client.is_interested(plain)
    plain["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    assert client.is_interested(plain)
