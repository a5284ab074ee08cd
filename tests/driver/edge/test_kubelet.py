"""The kubelet's sockets, spoken to as the kubelet does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from partita_driver.kubelet.dra_service import ClaimRef
from partita_driver.kubelet.server import KubeletServer
from partita_driver.kubelet.sockets import MAX_SOCKET_PATH_BYTES, SocketPaths, remove_socket, socket_paths
from partita_plugins.errors import InvalidInput, Permanent
from partita_plugins.kubelet_api import (
    dra_v1_pb2,
    dra_v1beta1_pb2,
    registration_pb2,
)

DRIVER = "gpu.partita.dev"
VERSIONS = {"v1": dra_v1_pb2, "v1beta1": dra_v1beta1_pb2}


@dataclass(frozen=True)
class Granted:
    request_names: tuple[str, ...]
    pool: str = "gpu.partita.dev/node-a"
    device: str = "gpu-0"
    cdi_ids: tuple[str, ...] = ("gpu.partita.dev/claim=uid-0",)
    share_id: str | None = "share-1"


@dataclass
class Handler:
    """Answers by claim name, from a table that a test fills."""

    works: dict[str, Callable[[], tuple[Granted, ...]]] = field(default_factory=dict)
    unprepared: list[str] = field(default_factory=list)

    def prepare(self, claim: ClaimRef) -> tuple[Granted, ...]:
        return self.works.get(claim.name, lambda: (Granted(("main/small", "main/large")),))()

    def unprepare(self, claim: ClaimRef) -> None:
        self.unprepared.append(claim.uid)


@dataclass
class Served:
    server: KubeletServer
    handler: Handler
    sockets: SocketPaths
    registered: list[int]

    def channel(self, path: Path | None = None) -> Any:
        return grpc.insecure_channel(f"unix:{path or self.sockets.plugin}")

    def call(
        self, verb: str, *names: str, version: str = "v1", timeout: float = 10, channel: grpc.Channel | None = None
    ) -> Any:
        messages: Any = VERSIONS[version]
        request = getattr(messages, f"{verb}Request")(
            claims=[messages.Claim(namespace="default", name=name, uid=f"uid-{name}") for name in names]
        )
        with nullcontext(channel) if channel else self.channel() as used:
            return used.unary_unary(
                f"/k8s.io.kubelet.pkg.apis.dra.{version}.DRAPlugin/{verb}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=getattr(messages, f"{verb}Response").FromString,
            )(request, timeout=timeout)

    def prepare(
        self, *names: str, version: str = "v1", timeout: float = 10, channel: grpc.Channel | None = None
    ) -> Any:
        return self.call("NodePrepareResources", *names, version=version, timeout=timeout, channel=channel)

    def register(self, verb: str, request: Any, answer: Any) -> Any:
        with self.channel(self.sockets.registrar) as channel:
            return channel.unary_unary(
                f"/pluginregistration.Registration/{verb}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )(request, timeout=5)


@contextmanager
def served(directory: Path, *, plugin: str = "plugin", **options: str) -> Iterator[Served]:
    sockets = socket_paths(DRIVER, directory / "registry", directory / plugin)
    handler, registered = Handler(), []
    server = KubeletServer(
        driver=DRIVER, sockets=sockets, claims=handler, on_registered=lambda: registered.append(1), **options
    )
    server.start()
    yield Served(server, handler, sockets, registered)
    server.stop(2.0)


def test_the_kubelet_learns_name_socket_and_versions(short_path: Path) -> None:
    with served(short_path) as world:
        info = world.register("GetInfo", registration_pb2.InfoRequest(), registration_pb2.PluginInfo)
        assert (info.type, info.name, info.endpoint) == ("DRAPlugin", DRIVER, str(short_path / "plugin/dra.sock"))
        assert list(info.supported_versions) == [
            "v1.DRAPlugin",
            "v1beta1.DRAPlugin",
            "v1.DRAResourceHealth",
            "v1alpha1.DRAResourceHealth",
        ]


def notify(world: Served, *, registered: bool, error: str = "") -> None:
    status = registration_pb2.RegistrationStatus(plugin_registered=registered, error=error)
    world.register("NotifyRegistrationStatus", status, registration_pb2.RegistrationStatusResponse)


def test_every_registration_is_told_on_and_a_refusal_is_kept(short_path: Path) -> None:
    with served(short_path) as world:
        notify(world, registered=True)
        notify(world, registered=True)
        assert world.registered == [1, 1]
        assert world.server.registration.registered
        with pytest.raises(grpc.RpcError, match="no such version"):
            notify(world, registered=False, error="no such version")
        assert not world.server.registration.registered
        assert world.server.registration.error == "no such version"


@pytest.mark.parametrize("version", VERSIONS)
def test_both_versions_prepare(short_path: Path, version: str) -> None:
    with served(short_path) as world:
        answer = world.prepare("a", version=version).claims["uid-a"]
        [device] = answer.devices
        assert answer.error == ""
        assert list(device.request_names) == ["main"], "the kubelet does not know alternatives"
        assert list(device.cdi_device_ids) == ["gpu.partita.dev/claim=uid-0"]
        assert getattr(device, "share_id", "share-1") == "share-1"


def raising(error: Exception) -> Callable[[], tuple[Granted, ...]]:
    def work() -> tuple[Granted, ...]:
        raise error

    return work


def test_each_claim_has_an_answer_of_its_own(short_path: Path) -> None:
    with served(short_path) as world:
        world.handler.works = {
            "bad": raising(InvalidInput("no profile 9g here", advice="choose 3g")),
            "bug": raising(ZeroDivisionError("division by zero")),
        }
        answers = world.prepare("good", "bad", "bug").claims
        assert {uid: answer.error for uid, answer in answers.items()} == {
            "uid-good": "",
            "uid-bad": "no profile 9g here; choose 3g",
            "uid-bug": "internal error of the driver: ZeroDivisionError: division by zero",
        }
        assert set(world.call("NodeUnprepareResources", "x", "y").claims) == {"uid-x", "uid-y"}
        assert sorted(world.handler.unprepared) == ["uid-x", "uid-y"]


def test_an_empty_request_succeeds(short_path: Path) -> None:
    with served(short_path) as world:
        assert not world.prepare().claims
        assert not world.call("NodeUnprepareResources").claims


def test_claims_and_calls_run_side_by_side(short_path: Path) -> None:
    """Each waits for all four: one after the other they would never end."""
    barrier = threading.Barrier(4, timeout=5)

    def work() -> tuple[Granted, ...]:
        barrier.wait()
        return ()

    with served(short_path) as world:
        world.handler.works = dict.fromkeys("abcd", work)
        answers: list[str] = []

        def call(*names: str) -> None:
            answers.extend(answer.error for answer in world.prepare(*names).claims.values())

        calls = [threading.Thread(target=call, args=names) for names in ("ab", "cd")]
        for thread in calls:
            thread.start()
        for thread in calls:
            thread.join()
        assert answers == [""] * 4


def test_a_slow_claim_is_answered_before_the_call_ends_and_does_not_hold_up_the_rest(short_path: Path) -> None:
    release = threading.Event()
    with served(short_path) as world:
        world.handler.works = {"slow": lambda: (release.wait(10), ())[1]}
        begun = time.monotonic()
        answers = world.prepare("slow", "quick", timeout=1.5).claims
        assert time.monotonic() - begun < 1.5
        assert "the work goes on" in answers["uid-slow"].error
        assert answers["uid-quick"].error == ""
        release.set()


def test_claims_that_wait_for_one_gpu_do_not_hold_up_those_of_another(short_path: Path) -> None:
    """As many pods at once as a node of 16 GPUs has partitions, all but one of them waiting."""
    release, calls = threading.Event(), 111
    waiting = threading.Semaphore(0)

    def work() -> tuple[Granted, ...]:
        waiting.release()
        release.wait(30)
        return ()

    with served(short_path) as world, world.channel() as channel, ThreadPoolExecutor(calls) as pool:
        world.handler.works = {f"held-{number}": work for number in range(calls)}
        held = [pool.submit(world.prepare, name, timeout=30, channel=channel) for name in world.handler.works]
        try:
            assert all(waiting.acquire(timeout=10) for _ in held)
            assert world.prepare("free", timeout=5).claims["uid-free"].error == ""
        finally:
            release.set()
        assert {answer.error for call in held for answer in call.result().claims.values()} == {""}


def test_stop_takes_the_sockets_away_and_lets_work_finish(short_path: Path) -> None:
    with served(short_path) as world:
        begun, done = threading.Event(), []

        def work() -> tuple[Granted, ...]:
            begun.set()
            time.sleep(0.3)
            return ()

        world.handler.works = {"a": work}
        caller = threading.Thread(target=lambda: done.append(world.prepare("a").claims["uid-a"].error))
        caller.start()
        begun.wait(5)
        world.server.stop(5.0)
        caller.join()
        assert done == [""]
        assert not world.sockets.plugin.exists()
        assert not world.sockets.registrar.exists()


def test_a_stale_socket_is_replaced(short_path: Path) -> None:
    sockets = socket_paths(DRIVER, short_path / "registry", short_path / "plugin")
    sockets.plugin.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(sockets.plugin))
    with served(short_path) as world:
        assert world.prepare("a").claims["uid-a"].error == ""


def test_only_sockets_are_removed(short_path: Path) -> None:
    precious = short_path / "dra.sock"
    precious.write_text("not a socket")
    remove_socket(precious)
    assert precious.exists()


def test_a_place_that_cannot_hold_a_socket_is_an_error_with_advice(short_path: Path) -> None:
    (short_path / "registry").write_text("a file")
    with pytest.raises(Permanent, match="cannot make the socket"), served(short_path):
        pass


def test_the_standard_health_service_answers_on_the_plugin_socket_and_on_tcp(short_path: Path) -> None:
    request = health_pb2.HealthCheckRequest()
    with served(short_path, health_address="127.0.0.1:0") as world:
        with world.channel() as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        world.server.set_serving(serving=True)
        with grpc.insecure_channel(f"127.0.0.1:{world.server.health_port}") as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("registry", "pod_uid", "registrar", "plugin"),
    [
        ("/r", "", "gpu.partita.dev-reg.sock", "dra.sock"),
        ("/r", "u" * 36, f"gpu.partita.dev-{'u' * 36}-reg.sock", f"dra-{'u' * 36}.sock"),
        ("/" + "r" * 50, "u" * 36, "gpu.partita.dev-MBG1E1jRqZc-reg.sock", f"dra-{'u' * 36}.sock"),
        ("/" + "r" * 70, "u" * 36, "dra-", f"dra-{'u' * 36}.sock"),
    ],
)
def test_socket_names_fit_the_kernel_s_limit(registry: str, pod_uid: str, registrar: str, plugin: str) -> None:
    found = socket_paths(DRIVER, Path(registry), Path("/p"), pod_uid)
    assert found.registrar.name.startswith(registrar[:16])
    assert found.registrar.name.endswith("-reg.sock")
    assert found.plugin.name == plugin
    assert len(str(found.registrar).encode()) <= MAX_SOCKET_PATH_BYTES


def test_a_socket_of_the_greatest_length_is_served(short_path: Path) -> None:
    room = MAX_SOCKET_PATH_BYTES - len(str(short_path / "dra.sock")) - 1
    with served(short_path, plugin="p" * room) as world:
        assert len(str(world.sockets.plugin)) == MAX_SOCKET_PATH_BYTES
        assert world.prepare("a").claims["uid-a"].error == ""


def test_a_directory_too_deep_for_any_socket_is_refused() -> None:
    with pytest.raises(InvalidInput, match="107 bytes"):
        socket_paths(DRIVER, Path("/" + "r" * 90), Path("/p"), "u" * 36)
