"""A replica that starts reads each kind of object once, page by page, however many nodes there are."""

from __future__ import annotations

import threading
from pathlib import Path

from partita_plugins.testing.apiserver import ApiServer
from partita_scheduler.app import Application
from partita_scheduler.http.address import Address
from partita_scheduler.settings import Settings
from tests.scheduler.edge.cluster import api_server, device_class, node, whole_gpus
from tests.waiting import until


def start_with(folder: Path, nodes: int) -> list[str]:
    """What a replica asks the API server for until it leads."""
    folder.mkdir()
    with api_server(folder) as (server, api):
        fill(server, nodes)
        before = len(server.requests)
        settings = Settings(listen=Address(host="127.0.0.1", port=0), explain=False, handover_seconds=0)
        application = Application(api, settings).start()
        try:
            until(lambda: not application.decider.doubt())
            return [f"{one.method} {one.target}" for one in server.requests[before:]]
        finally:
            application.stop()


def fill(server: ApiServer, nodes: int) -> None:
    server.create(device_class())
    for number in range(nodes):
        server.create(node(f"node-{number:04d}"))
        server.create(whole_gpus(f"node-{number:04d}"))


def test_ten_times_the_nodes_cost_no_more_requests(tmp_path: Path) -> None:
    threads = threading.active_count()
    few, many = (start_with(tmp_path / str(count), count) for count in (30, 300))
    lists = [one for one in many if "watch=true" not in one and "lease" not in one and "/version" not in one]
    assert len(lists) == 7, "nodes, slices, classes, claims, rules, pods without and with a node; a page has 500"
    assert abs(len(many) - len(few)) <= 4, "the lease and the version may be asked for once more"
    assert threading.active_count() < threads + 30
