"""The driver put together, with the claim engine played by a fake: start, readiness, faults, stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
import yaml

from partita_driver.api.node_condition import CONDITION
from partita_driver.opening.options import StateLock
from partita_plugins.contracts import MemoryBackend
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import NODES
from partita_plugins.kubelet_api import health_v1_pb2
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.apiserver import Fault as HttpFault
from partita_plugins.validators.reference import ReferenceValidator
from partita_plugins.wire import FAULT_TAINT_KEY
from tests.driver.edge.channels import connected
from tests.driver.edge.running import FakeEngine, Running, running
from tests.driver.edge.worlds import NODE, fault_on
from tests.waiting import WAIT_SECONDS, eventually

EXIT_SECONDS = 5.0
"""For Python's own end, and for clocks."""

FIRST, NEWCOMER = "11111111-2222-3333-4444-555555555555", "66666666-2222-3333-4444-555555555555"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    monkeypatch.setattr("partita_driver.node_engine.ClaimEngine", FakeEngine)
    with ApiServer() as made:
        made.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {}}})
        yield made


def tainted(server: ApiServer) -> set[str]:
    return {
        device["name"]
        for entry in server.list("ResourceSlice").items
        for device in entry["spec"].get("devices", [])
        if any(taint["key"] == FAULT_TAINT_KEY for taint in device.get("taints", []))
    }


def test_ready_means_registered_and_published(short_path: Path, server: ApiServer) -> None:
    with running(short_path, server) as world:
        assert eventually(lambda: len(server.list("ResourceSlice").items) == 2)
        assert eventually(lambda: ["not registered" in why for why in world.driver.not_ready()] == [True])
        world.register()
        assert eventually(lambda: world.driver.not_ready() == [])
        assert eventually(lambda: [e["reason"] for e in server.list("Event").items] == ["PartitaStateDamaged"])
    assert not (world.options.plugin_dir / "dra.sock").exists()
    assert not (world.options.registry_dir / "gpu.partita.dev-reg.sock").exists()
    assert len(server.list("ResourceSlice").items) == 2, "a stopping driver leaves its slices"


def test_damage_found_at_the_start_is_told_as_soon_as_the_node_is_known(short_path: Path, server: ApiServer) -> None:
    server.faults.plant(HttpFault(path="nodes", delay_seconds=0.5))
    with running(short_path, server):
        assert eventually(lambda: [e["reason"] for e in server.list("Event").items] == ["PartitaStateDamaged"])


def test_without_an_api_server_unprepare_is_served_and_the_driver_is_not_ready(
    short_path: Path, server: ApiServer
) -> None:
    server.stop()
    with running(short_path, server) as world:
        assert eventually((world.options.registry_dir / "gpu.partita.dev-reg.sock").exists)
        assert world.unprepare("uid-9") == ""
        assert FakeEngine.latest.unprepared == ["uid-9"]
        world.register()
        assert any("API server" in why for why in world.driver.not_ready())
        server.start()
        assert eventually(lambda: world.driver.not_ready() == [])


def test_a_fault_is_in_the_slices_and_in_the_health_stream_when_add_faults_returns(
    short_path: Path, server: ApiServer
) -> None:
    with running(short_path, server) as world:
        assert eventually(lambda: len(server.list("ResourceSlice").items) == 2)
        engine = FakeEngine.latest
        engine.add_faults(fault_on(engine.node, 4))
        name = f"gpu-{engine.node.gpus[4].pci_label}"
        assert tainted(server) == {name}
        with connected(world.options.plugin_dir / "dra.sock") as channel:
            stream = channel.unary_stream(
                "/v1.DRAResourceHealth/NodeWatchResources",
                request_serializer=health_v1_pb2.NodeWatchResourcesRequest.SerializeToString,
                response_deserializer=health_v1_pb2.NodeWatchResourcesResponse.FromString,
            )(health_v1_pb2.NodeWatchResourcesRequest(), timeout=WAIT_SECONDS)
            listed = {entry.device.device_name: entry for entry in next(stream).devices}
            stream.cancel()
        assert len(listed) == 8
        assert {device for device, entry in listed.items() if entry.health == health_v1_pb2.UNHEALTHY} == {name}
        assert listed[name].message == "bit 7 of word 0x10 reads 1"


def test_hardware_that_cannot_be_read_yet_is_tried_again(short_path: Path, server: ApiServer) -> None:
    FakeEngine.start_failures = 2
    with running(short_path, server):
        assert eventually(lambda: len(server.list("ResourceSlice").items) == 2)


def test_slow_hardware_makes_a_driver_unready_and_never_dead(short_path: Path, server: ApiServer) -> None:
    """A liveness probe would kill it again and again before it has read its GPUs."""
    FakeEngine.start_failures = 10_000
    with running(short_path, server) as world:
        assert eventually(lambda: page(world, "/readyz") == (503, "the hardware has not been read yet\n"))
        assert page(world, "/healthz") == (200, "ok\n")
        FakeEngine.start_failures = 0
        assert eventually(lambda: "hardware" not in page(world, "/readyz")[1])


def page(world: Running, path: str) -> tuple[int, str]:
    assert world.driver.http
    connection = HTTPConnection("127.0.0.1", world.driver.http.port, timeout=WAIT_SECONDS)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def test_during_a_rolling_update_the_newcomer_stands_by_until_it_is_its_turn(
    short_path: Path, server: ApiServer
) -> None:
    turn, state = StateLock(short_path / "state", "turn"), StateLock(short_path / "state")
    assert turn.try_acquire()
    assert state.try_acquire()
    with running(short_path, server, pod_uid=NEWCOMER) as world:
        assert not eventually(world.registrar.exists, 0.3)
        assert world.driver.not_ready() == [], "or the first would never be told to go"
        turn.release()
        assert eventually(world.registrar.exists), "the kubelet finds it while the first one finishes"
        with ThreadPoolExecutor() as calls:
            answer = calls.submit(world.unprepare, "uid-9")
            assert not eventually(answer.done, 0.3)
            state.release()
            assert answer.result() == ""


def test_an_instance_that_leaves_serves_until_its_successor_is_registered(short_path: Path, server: ApiServer) -> None:
    with running(short_path, server, pod_uid=FIRST) as first:
        assert eventually(first.registrar.exists)
        first.register()
        with running(short_path, server, pod_uid=NEWCOMER) as newcomer:
            assert eventually(lambda: newcomer.driver.not_ready() == [])
            first.driver.stop()
            assert eventually(newcomer.registrar.exists)
            assert not eventually(lambda: not first.registrar.exists(), 0.3)
            assert first.unprepare("uid-8") == ""
            newcomer.register()
            assert eventually(lambda: not first.registrar.exists())
            assert newcomer.unprepare("uid-9") == ""


@pytest.mark.parametrize("idle", [True, False])
def test_the_state_folder_is_kept_from_a_successor_while_a_call_is_at_work(
    short_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch, *, idle: bool
) -> None:
    monkeypatch.setattr(FakeEngine, "idle", idle)
    with running(short_path, server) as first:
        assert eventually(first.registrar.exists)
        first.stop()
        assert first.ended == [idle]
        assert StateLock(first.options.state_dir).try_acquire() is idle


class Keeping(ReferenceValidator):
    """A validator that keeps something ready, and lets go of it when it may."""

    def __init__(self, backend: MemoryBackend, may_let_go: threading.Event) -> None:
        super().__init__(backend)
        self.asked, self._may_let_go = threading.Event(), may_let_go

    def close(self) -> None:
        self.asked.set()
        self._may_let_go.wait()


@pytest.mark.parametrize("lets_go", [True, False])
def test_what_a_validator_keeps_ready_is_let_go_at_the_end_and_waited_for_within_bounds(
    short_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch, *, lets_go: bool
) -> None:
    made: list[Keeping] = []
    may_let_go = threading.Event()
    if lets_go:
        may_let_go.set()

    def opened(_name: str, backend: MemoryBackend) -> Keeping:
        made.append(Keeping(backend, may_let_go))
        return made[0]

    monkeypatch.setattr("partita_driver.app.open_validator", opened)
    with running(short_path, server) as world:
        assert eventually(world.registrar.exists)
        assert not made[0].asked.is_set()
        world.stop()
        assert made[0].asked.is_set()
    may_let_go.set()


def test_the_pod_s_grace_is_longer_than_the_longest_stop(short_path: Path, server: ApiServer) -> None:
    manifest = Path(__file__).parents[3] / "manifests" / "base" / "driver" / "daemonset.yaml"
    pod = yaml.safe_load(manifest.read_text(encoding="utf-8"))["spec"]["template"]["spec"]
    with running(short_path, server, pod_uid=FIRST) as world:
        assert eventually(world.registrar.exists)
        assert world.driver.longest_stop_seconds + EXIT_SECONDS <= pod["terminationGracePeriodSeconds"]


def test_gpus_of_a_device_plugin_are_withheld_unless_the_settings_say_otherwise(
    short_path: Path, server: ApiServer
) -> None:
    def offered() -> int:
        devices = (one for entry in server.list("ResourceSlice").items for one in entry["spec"].get("devices") or [])
        return sum(not one.get("taints") for one in devices)

    def plugin(count: str) -> None:
        patch = {"status": {"allocatable": {"nvidia.com/gpu": count}}}
        KubeApi.connect(str(short_path / "kubeconfig")).patch(NODES, NODE, patch, subresource="status")

    with running(short_path, server):
        assert eventually(lambda: offered() == 8)
        plugin("8")
        assert eventually(lambda: offered() == 0)
        assert eventually(lambda: condition(server)["status"] == "True")
        assert "nvidia.com/gpu" in condition(server)["message"]
        server.create(settings("nodes: [{others: ignore}]"))
        assert eventually(lambda: offered() == 8)
        server.delete("ConfigMap", "partita-nodes", "partita-system")
        assert eventually(lambda: offered() == 0)
        plugin("0")
        assert eventually(lambda: offered() == 8)
        assert eventually(lambda: condition(server)["status"] == "False")


def condition(server: ApiServer) -> dict[str, str]:
    found = server.get("Node", NODE).get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == CONDITION), {"status": ""})


def test_settings_change_what_is_published(short_path: Path, server: ApiServer) -> None:
    with running(short_path, server):
        assert eventually(lambda: len(server.list("ResourceSlice").items) == 2)
        server.create(settings("nodes: [{offer: {mig: all}}]"))
        assert eventually(lambda: len(server.list("ResourceSlice").items) > 2)


def settings(text: str) -> dict[str, object]:
    metadata = {"name": "partita-nodes", "namespace": "partita-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"nodes.yaml": text}}
