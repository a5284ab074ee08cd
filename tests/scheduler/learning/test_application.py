"""The whole extender over an API server: what it learns and counts reaches the state that answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from partita_plugins.contracts import PodShape
from partita_plugins.model.offer import Offer
from partita_plugins.scorers.history import FIRST
from partita_plugins.testing.apiserver import ApiServer
from partita_scheduler.app import Application
from partita_scheduler.extender import create_why_app
from partita_scheduler.http.address import Address
from partita_scheduler.kubectl.main import main as kubectl
from partita_scheduler.policy.decision import decide
from partita_scheduler.settings import Settings
from tests.scheduler.decision import fleet
from tests.scheduler.edge.cluster import api_server, claim, device_class, node, plain, pod
from tests.waiting import until

LOOPBACK = Address(host="127.0.0.1", port=0)
EIGHT = fleet.slices("a", "hgx-h100", Offer())


def hold(server: ApiServer, number: int) -> None:
    """A claim of a pod that has been placed: 8 CPUs and a GPU."""
    name = f"held-{number}"
    asked = fleet.claim("c", fleet.exactly())
    allocation = decide(fleet.view({"a": EIGHT}, asked), fleet.pod("c"), ["a"]).verdicts["a"].allocations
    assert allocation is not None
    server.create(claim(name))
    placed = pod(name, name, nodeName="a")
    placed["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "500m"}
    uid = server.create(placed)["metadata"]["uid"]
    status = {
        "allocation": plain(allocation["c"]),
        "reservedFor": [{"resource": "pods", "name": name, "uid": uid}],
    }
    server.patch("ResourceClaim", name, {"status": status}, "default", subresource="status")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[ApiServer, Application]]:
    """Two machines, the pods of the past on one of them, and an extender that has just started."""
    with api_server(tmp_path) as (server, api):
        server.create(device_class())
        server.create({**node("a"), "status": {"allocatable": {"cpu": "64"}}})
        server.create({**node("b"), "status": {"allocatable": {"cpu": "2"}}})
        for one in (*EIGHT, *fleet.slices("b", "hgx-h100", Offer())):
            server.create(plain(one))
        for number in range(FIRST):
            hold(server, number)
        settings = Settings(listen=LOOPBACK, why_listen=LOOPBACK, explain=False, leader_election=False)
        application = Application(api, settings).start()
        try:
            until(lambda: application.kept.told.cluster.workload.counts)
            yield server, application
        finally:
            application.stop()


def test_a_new_process_knows_the_pods_that_were_placed_before_it_and_the_cpu_that_is_left(
    cluster: tuple[ApiServer, Application],
) -> None:
    _, application = cluster
    assert application.kept.told.cluster.workload.counts == ((PodShape(cpu_milli=500, gpus=1), FIRST),)
    until(lambda: application.kept.told.cluster.view().cpu_left_milli == {"a": 32_000, "b": 2_000})


def test_where_no_extender_can_be_asked_why_says_what_one_would_that_has_just_started(
    cluster: tuple[ApiServer, Application], tmp_path: Path
) -> None:
    server, application = cluster
    server.create(claim("wish"))
    server.create(pod("waiting", "wish"))
    until(lambda: application.watch.unbound_pod("default", "waiting"))
    until(lambda: ("default", "wish") in application.watch.view().claims)
    told = create_why_app(application.parts).test_client().get("/explain/default/waiting").get_json()
    result = CliRunner().invoke(kubectl, ["why", "waiting", "--json"], env={"KUBECONFIG": str(tmp_path / "kubeconfig")})
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    [note] = found.pop("notes")
    assert note == (
        "judged here, by the default settings and the pods of today, not by the extender: "
        "no extender is Ready in partita-system"
    )
    assert {**found, "notes": []} == told
    assert told["nodes"][0]["node"] == "b"  # its CPU lasts for four of its eight GPUs
