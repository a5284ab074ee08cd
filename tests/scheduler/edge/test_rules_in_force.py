"""The whole extender over an API server: a DeviceTaintRule reaches the answers, as the server's version reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from partita_plugins.testing.apiserver import ApiServer, discovery
from partita_plugins.wire import pool_name
from partita_scheduler.app import Application
from partita_scheduler.cluster.view import Pod
from partita_scheduler.http.address import Address
from partita_scheduler.settings import Settings
from tests.scheduler.edge.cluster import Json, api_server, claim, device_class, node, pod, whole_gpus
from tests.waiting import until

NODES = ["a", "b"]


@contextmanager
def extender(folder: Path) -> Iterator[tuple[ApiServer, Application]]:
    """Two nodes that fit, and a pod that asks."""
    with api_server(folder) as (server, api):
        server.create(device_class())
        for name in NODES:
            server.create(node(name))
            server.create(whole_gpus(name))
        server.create(claim("wish"))
        settings = Settings(listen=Address(host="127.0.0.1", port=0), explain=False, leader_election=False)
        application = Application(api, settings).start()
        try:
            yield server, application
        finally:
            application.stop()


def fitting(application: Application) -> tuple[str, ...]:
    """Nodes that the kept state finds fit for the pod."""
    found = application.kept.find(msgspec.convert(pod("train", "wish"), Pod), NODES)
    return tuple(sorted(found.among(NODES).decision().order)) if found else ()


def rule(name: str, **spec: Json) -> Json:
    body = {"taint": {"key": "drain", "effect": "NoSchedule"}, **spec}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceTaintRule", "metadata": {"name": name}, "spec": body}


def test_a_rule_takes_its_node_out_of_the_answers_until_it_is_gone(tmp_path: Path) -> None:
    with extender(tmp_path) as (server, application):
        until(lambda: fitting(application) == ("a", "b"))
        server.create(rule("drain", deviceSelector={"pool": pool_name("a")}))
        until(lambda: fitting(application) == ("b",))
        server.delete("DeviceTaintRule", "drain")
        until(lambda: fitting(application) == ("a", "b"))


@pytest.mark.parametrize(("version", "left"), [("v1.36.3", ()), ("v1.37.2", ("b",))])
def test_a_rule_without_a_selector_is_read_as_the_servers_version_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, left: tuple[str, ...]
) -> None:
    monkeypatch.setattr(discovery, "KUBERNETES_VERSION", version)
    with extender(tmp_path) as (server, application):
        until(lambda: fitting(application) == ("a", "b"))
        server.create(rule("whom"))
        server.create(rule("drain", deviceSelector={"pool": pool_name("a")}))
        until(lambda: len(fitting(application)) < len(NODES))
        until(lambda: fitting(application) == left)
