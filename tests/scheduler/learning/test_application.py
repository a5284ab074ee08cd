"""The whole extender over an API server: what it learns and counts reaches the state that answers."""

from __future__ import annotations

from pathlib import Path

from partita_plugins.contracts import PodShape
from partita_plugins.model.offer import Offer
from partita_plugins.scorers.history import FIRST
from partita_plugins.testing.apiserver import ApiServer
from partita_scheduler.app import Application
from partita_scheduler.http.address import Address
from partita_scheduler.policy.decision import decide
from partita_scheduler.settings import Settings
from tests.scheduler.decision import fleet
from tests.scheduler.edge.cluster import api_server, claim, device_class, node, plain, pod, until

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


def test_a_new_process_knows_the_pods_that_were_placed_before_it_and_the_cpu_that_is_left(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        server.create(device_class())
        server.create({**node("a"), "status": {"allocatable": {"cpu": "64"}}})
        for one in EIGHT:
            server.create(plain(one))
        for number in range(FIRST):
            hold(server, number)
        settings = Settings(listen=Address(host="127.0.0.1", port=0), explain=False, leader_election=False)
        application = Application(api, settings).start()
        try:
            until(lambda: application.kept.told.cluster.workload.counts)
            assert application.kept.told.cluster.workload.counts == ((PodShape(cpu_milli=500, gpus=1), FIRST),)
            until(lambda: application.kept.told.cluster.view().cpu_left_milli == {"a": 32_000})
        finally:
            application.stop()
