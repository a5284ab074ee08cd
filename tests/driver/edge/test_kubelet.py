"""The kubelet's sockets, spoken to as the kubelet does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from partita_plugins.errors import InvalidInput
from partita_plugins.kubelet_api import (
    registration_pb2,
)
from tests.driver.edge.served import DRIVER, VERSIONS, Granted, Served, served
from tests.waiting import WAIT_SECONDS


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
            "ended": raising(TimeoutError("the disk does not answer")),
        }
        answers = world.prepare("good", "bad", "bug", "ended").claims
        assert {uid: answer.error for uid, answer in answers.items()} == {
            "uid-good": "",
            "uid-bad": "no profile 9g here; choose 3g",
            "uid-bug": "internal error of the driver: ZeroDivisionError: division by zero",
            "uid-ended": "internal error of the driver: TimeoutError: the disk does not answer",
        }
        assert set(world.call("NodeUnprepareResources", "x", "y").claims) == {"uid-x", "uid-y"}
        assert sorted(world.handler.unprepared) == ["uid-x", "uid-y"]


def test_an_empty_request_succeeds(short_path: Path) -> None:
    with served(short_path) as world:
        assert not world.prepare().claims
        assert not world.call("NodeUnprepareResources").claims


def test_claims_and_calls_run_side_by_side(short_path: Path) -> None:
    """Each waits for all four: one after the other they would never end."""
    barrier = threading.Barrier(4, timeout=WAIT_SECONDS)

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


def test_a_slow_claim_is_answered_before_the_call_ends_and_does_not_hold_up_the_rest(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partita_driver.kubelet.dra_service.ANSWER_MARGIN_SECONDS", 18.0)
    release = threading.Event()
    with served(short_path) as world:
        world.handler.works = {"slow": lambda: (release.wait(WAIT_SECONDS), ())[1]}
        answers = world.prepare("slow", "quick", timeout=20.0).claims
        assert "the work goes on" in answers["uid-slow"].error
        assert answers["uid-quick"].error == ""
        release.set()


def test_claims_that_wait_for_one_gpu_do_not_hold_up_those_of_another(short_path: Path) -> None:
    """As many pods at once as a node of 16 GPUs has partitions, all but one of them waiting."""
    release, calls = threading.Event(), 111
    waiting = threading.Semaphore(0)

    def work() -> tuple[Granted, ...]:
        waiting.release()
        release.wait(WAIT_SECONDS)
        return ()

    with served(short_path) as world, world.channel() as channel, ThreadPoolExecutor(calls) as pool:
        world.handler.works = {f"held-{number}": work for number in range(calls)}
        held = [pool.submit(world.prepare, name, timeout=WAIT_SECONDS, channel=channel) for name in world.handler.works]
        try:
            assert all(waiting.acquire(timeout=WAIT_SECONDS) for _ in held)
            assert world.prepare("free", timeout=WAIT_SECONDS).claims["uid-free"].error == ""
        finally:
            release.set()
        assert {answer.error for call in held for answer in call.result().claims.values()} == {""}


def test_the_standard_health_service_answers_on_the_plugin_socket_and_on_tcp(short_path: Path) -> None:
    request = health_pb2.HealthCheckRequest()
    with served(short_path, health_address="127.0.0.1:0") as world:
        with world.channel() as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=WAIT_SECONDS)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        world.server.set_serving(serving=True)
        with grpc.insecure_channel(f"127.0.0.1:{world.server.health_port}") as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=WAIT_SECONDS)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
