"""The embedded scheduler and the real extender process side by side, over HTTP, on the real policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from partita_plugins.kube.api import KubeApi
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.extender_client import ExtenderClient, ExtenderConfig
from partita_scheduler.app import Application
from partita_scheduler.http.address import Address
from partita_scheduler.settings import Settings
from partita_scheduler.simulator import EmbeddedScheduler
from tests.scheduler.edge.cluster import (
    GPU_CLASS,
    Json,
    api_server,
    claim,
    device_class,
    messages,
    node,
    pod,
    whole_gpus,
)
from tests.waiting import WAIT_SECONDS, until

LOOPBACK = Address(host="127.0.0.1", port=0)


@dataclass
class Cluster:
    """An API server with two nodes of two GPUs, and its scheduler."""

    server: ApiServer
    api: KubeApi
    scheduler: EmbeddedScheduler

    def node_of(self, name: str) -> str:
        return str(self.server.get("Pod", name, "default")["spec"].get("nodeName", ""))

    def devices_of(self, name: str) -> list[str]:
        found: Json = self.server.get("ResourceClaim", name, "default")
        return [result["device"] for result in found["status"]["allocation"]["devices"]["results"]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with api_server(tmp_path) as (server, api):
        for name in ("a", "b"):
            server.create(node(name))
            server.create(whole_gpus(name))
        server.create(device_class())
        yield Cluster(server, api, EmbeddedScheduler(server, seed=1))


def test_a_claim_is_allocated_reserved_and_its_pod_bound(cluster: Cluster) -> None:
    cluster.server.create(claim("wish"))
    cluster.server.create(pod("train", "wish"))
    assert cluster.scheduler.step() == 1
    found = cluster.server.get("ResourceClaim", "wish", "default")
    assert found["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    assert found["status"]["reservedFor"][0]["name"] == "train"
    assert found["status"]["allocation"]["nodeSelector"]
    assert cluster.node_of("train") in {"a", "b"}
    assert len(cluster.devices_of("wish")) == 1


def test_no_device_is_given_twice_and_the_pod_too_many_is_told_why(cluster: Cluster) -> None:
    for number in range(5):
        cluster.server.create(claim(f"wish-{number}"))
        cluster.server.create(pod(f"train-{number}", f"wish-{number}"))
    assert cluster.scheduler.step() == 4
    taken = [(cluster.node_of(f"train-{n}"), *cluster.devices_of(f"wish-{n}")) for n in range(4)]
    assert len(set(taken)) == 4
    (message,) = messages(cluster.server, "FailedScheduling")
    assert message == "0/2 nodes are available: 2 cannot allocate all claims."


def test_pods_on_one_claim_go_to_one_node(cluster: Cluster) -> None:
    cluster.server.create(claim("wish"))
    names = [f"user-{number}" for number in range(8)]
    for name in names:
        cluster.server.create(pod(name, "wish"))
    assert cluster.scheduler.step() == 8
    assert len({cluster.node_of(name) for name in names}) == 1
    assert len(cluster.server.get("ResourceClaim", "wish", "default")["status"]["reservedFor"]) == 8


def test_a_pod_whose_claim_is_not_there_yet_waits(cluster: Cluster) -> None:
    cluster.server.create(pod("train", "wish"))
    assert cluster.scheduler.step() == 0
    cluster.server.create(claim("wish"))
    assert cluster.scheduler.step() == 1


def test_a_plain_extended_resource_gets_the_claim_that_kube_scheduler_makes(cluster: Cluster) -> None:
    plain = device_class("plain")
    plain["spec"]["extendedResourceName"] = "nvidia.com/gpu"
    cluster.server.create(plain)
    asking = pod("train")
    asking["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1", "cpu": "1"}}
    cluster.server.create(asking)
    assert cluster.scheduler.step() == 1
    status = cluster.server.get("Pod", "train", "default")["status"]["extendedResourceClaimStatus"]
    assert status["requestMappings"] == [
        {"containerName": "main", "resourceName": "nvidia.com/gpu", "requestName": "container-0-request-1"}
    ]
    assert len(cluster.devices_of(status["resourceClaimName"])) == 1


def test_configuration_of_the_class_and_of_the_claim_reaches_the_allocation(cluster: Cluster) -> None:
    opaque = {"driver": GPU_CLASS, "parameters": {"apiVersion": "gpu.partita.dev/v1alpha1", "kind": "GpuConfig"}}
    configured = device_class("whole-configured")
    configured["spec"]["config"] = [{"opaque": opaque}]
    cluster.server.create(configured)
    wish = claim("wish")
    wish["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"] = "whole-configured"
    wish["spec"]["devices"]["config"] = [{"opaque": opaque}]
    cluster.server.create(wish)
    cluster.server.create(pod("train", "wish"))
    cluster.scheduler.step()
    config = cluster.server.get("ResourceClaim", "wish", "default")["status"]["allocation"]["devices"]["config"]
    assert [entry["source"] for entry in config] == ["FromClass", "FromClaim"]
    assert config[0]["opaque"]["parameters"]["kind"] == "GpuConfig"


def test_an_extender_that_is_down_holds_nothing_up_when_it_is_ignorable(cluster: Cluster) -> None:
    down = ExtenderConfig(url_prefix="http://127.0.0.1:9", ignorable=True, http_timeout_seconds=0.2)
    scheduler = EmbeddedScheduler(cluster.server, [ExtenderClient(down)])
    cluster.server.create(pod("plain"))
    assert scheduler.step() == 1


def test_an_extender_that_is_down_holds_pods_up_when_it_is_not(cluster: Cluster) -> None:
    down = ExtenderConfig(url_prefix="http://127.0.0.1:9", http_timeout_seconds=0.2)
    scheduler = EmbeddedScheduler(cluster.server, [ExtenderClient(down)])
    cluster.server.create(pod("plain"))
    assert scheduler.step() == 0
    assert "failed filter with extender" in messages(cluster.server, "FailedScheduling")[0]


@pytest.fixture
def application(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setattr("partita_scheduler.kept.state.ANSWER_SECONDS", WAIT_SECONDS)  # an opinion, however busy we are
    alone = Settings(listen=LOOPBACK, health_listen=LOOPBACK, handover_seconds=0)
    found = Application(cluster.api, alone).start()
    until(lambda: not found.decider.doubt())
    yield found
    found.stop()


@pytest.mark.parametrize("verbs", [("choose", ""), ("filter", "prioritize")], ids=" ".join)
def test_the_extender_fills_a_started_node_first_and_every_prediction_comes_true(
    cluster: Cluster, application: Application, verbs: tuple[str, str]
) -> None:
    """One pod takes one GPU of a node; the next one's first choice and the allocator's devices must agree with it."""
    url = f"http://127.0.0.1:{application.address.port}"
    config = ExtenderConfig(url_prefix=url, filter_verb=verbs[0], prioritize_verb=verbs[1], weight=5)
    scheduler = EmbeddedScheduler(cluster.server, [ExtenderClient(config)])
    for number in range(4):
        cluster.server.create(claim(f"wish-{number}"))
        cluster.server.create(pod(f"train-{number}", f"wish-{number}"))
    until(lambda: len(application.watch.view().claims) == 4)  # An extender that has not seen a claim has no opinion.
    assert scheduler.step() == 4
    until(lambda: len(application.assumptions) == 0)
    results = [(found.result, found.node == found.actual_node) for found in application.assumptions.predictions()]
    assert results == [("match", True)] * 4
    assert application.metrics.registry.get_sample_value("partita_scheduler_no_opinion_total", {"reason": "error"}) in (
        None,
        0,
    )


def test_a_pod_that_fits_nowhere_gets_our_event(cluster: Cluster, application: Application) -> None:
    cluster.server.create(claim("wish", count=3))
    cluster.server.create(pod("train", "wish"))
    cluster.scheduler.step()
    until(lambda: application.explainer.step() or messages(cluster.server, "GpuPlacement"))
    (message,) = messages(cluster.server, "GpuPlacement")
    assert message.startswith("No node can take this pod: 2 nodes: ")
