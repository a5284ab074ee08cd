"""Loop, metrics endpoint, state lock, validator switch, command line."""

from __future__ import annotations

import fcntl
import json
import re
import socket
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from partita_driver import metrics as metrics_module
from partita_driver.loop import Loop
from partita_driver.main import cli
from partita_driver.metrics import HttpEndpoint, Metrics
from partita_driver.opening.options import StateLock
from partita_plugins.errors import Permanent, Retryable
from partita_plugins.pauses import Pause
from tests.waiting import WAIT_SECONDS, eventually


def test_a_loop_goes_on_after_a_step_that_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partita_driver.loop.ERROR_PAUSE", Pause(0.01, 0.02))
    steps: list[int] = []

    def step() -> float:
        steps.append(1)
        if len(steps) < 3:
            raise RuntimeError("planted")
        return 60.0

    loop = Loop("test", step)
    loop.start()
    assert eventually(lambda: len(steps) == 3)
    loop.wake()
    assert eventually(lambda: len(steps) == 4)
    assert loop.stop()


@pytest.mark.parametrize(
    ("error", "traces"), [(Retryable("the API server is away", delay_seconds=1.0), 0), (OSError("planted"), 1)]
)
def test_a_step_that_fails_for_a_known_reason_is_a_line_and_no_stack_trace(
    monkeypatch: pytest.MonkeyPatch, error: Exception, traces: int
) -> None:
    monkeypatch.setattr("partita_driver.loop.ERROR_PAUSE", Pause(60.0, 60.0))
    stepped = threading.Event()

    def step() -> float:
        stepped.set()
        raise error

    with capture_logs() as logs:
        loop = Loop("test", step)
        loop.start()
        assert stepped.wait(WAIT_SECONDS)
        assert loop.stop()
    [line] = logs
    assert str(error) in str(line.get("error", "planted"))
    assert ("exc_info" in line) == bool(traces)


def test_a_wake_during_a_step_is_for_the_next_one() -> None:
    inside, go, steps = threading.Event(), threading.Event(), []

    def step() -> float:
        steps.append(1)
        inside.set()
        go.wait(WAIT_SECONDS)
        return 60.0

    loop = Loop("test", step)
    loop.start()
    assert inside.wait(WAIT_SECONDS)
    loop.wake()
    go.set()
    assert eventually(lambda: len(steps) == 2)
    assert loop.stop()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=WAIT_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_and_probes_are_served() -> None:
    metrics = Metrics()
    metrics.claim_done("prepare", "ok", 0.02)
    metrics.validated("prepare", "quick", "passed", 0.04)
    metrics.validated("idle", "full", "failed", 1.5)
    metrics.set_validation_ages({"GPU-gone": 7.0})
    metrics.set_validation_ages({"GPU-1": 60.0})
    metrics.set_prepared(["mig", "mig", "gpu"])
    metrics.set_prepared(["mig"])
    endpoint = HttpEndpoint(
        "127.0.0.1:0", {"/metrics": lambda: (200, metrics.text()), "/readyz": lambda: (503, b"not registered\n")}
    )
    endpoint.start()
    status, text = get(endpoint.port, "/metrics")
    assert status == 200
    assert 'partita_claims_total{result="ok",verb="prepare"} 1.0' in text
    assert 'partita_prepared_devices{kind="mig"} 1.0' in text
    assert 'kind="gpu"' not in text
    looks = 'partita_validation_seconds_count{depth="quick",moment="prepare",result="passed"} 1.0'
    assert looks in text
    assert 'partita_validation_failures_total{moment="idle"} 1.0' in text
    assert 'partita_validation_age_seconds{gpu="GPU-1"} 60.0' in text
    assert "GPU-gone" not in text
    assert get(endpoint.port, "/readyz?verbose") == (503, "not registered\n")
    assert get(endpoint.port, "/nothing")[0] == 404
    endpoint.stop()


def test_clients_that_trickle_do_not_keep_probes_from_their_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A liveness probe without an answer ends the driver."""
    monkeypatch.setattr(metrics_module, "HTTP_TIMEOUT_SECONDS", 1.0)
    endpoint = HttpEndpoint("127.0.0.1:0", {"/healthz": lambda: (200, b"ok\n")})
    endpoint.start()
    clients = [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(metrics_module.HTTP_WORKERS)]
    stopping = threading.Event()

    def trickle() -> None:
        while not stopping.wait(0.05):
            for client in clients:
                with suppress(OSError):
                    client.send(b"x")

    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
    trickling = threading.Thread(target=trickle)
    trickling.start()
    try:
        assert get(endpoint.port, "/healthz") == (200, "ok\n")
    finally:
        stopping.set()
        trickling.join()
        for client in clients:
            client.close()
        endpoint.stop()


def test_connections_beyond_the_bound_are_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "HTTP_PENDING_MAX", 2)
    endpoint = HttpEndpoint("127.0.0.1:0", {})
    endpoint.start()
    clients = [socket.create_connection(("127.0.0.1", endpoint.port), timeout=WAIT_SECONDS) for _ in range(3)]
    try:
        assert clients[2].recv(1) == b""
    finally:
        for client in clients:
            client.close()
        endpoint.stop()


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999", "192.0.2.1:1", ""])
def test_an_address_that_cannot_be_served_is_an_error_with_advice(address: str) -> None:
    with pytest.raises(Permanent, match="--http-address"):
        HttpEndpoint(address, {})


def test_one_process_owns_a_state_folder(tmp_path: Path) -> None:
    first, second = StateLock(tmp_path / "state"), StateLock(tmp_path / "state")
    assert first.try_acquire()
    with pytest.raises(Retryable, match="is in use"):
        second.acquire()
    first.release()
    assert second.try_acquire()
    second.release()


def test_who_only_looks_at_a_lock_is_not_taken_for_its_owner(tmp_path: Path) -> None:
    """As a probe does: `flock --shared --nonblock`."""
    owner, other = StateLock(tmp_path / "state", "standby"), StateLock(tmp_path / "state", "standby")
    assert not other.is_held()
    with (tmp_path / "state" / "standby").open() as probe:
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert not other.is_held()
    assert owner.try_acquire()
    assert other.is_held()
    owner.release()
    assert not other.is_held()


def test_devices_prints_what_a_machine_would_publish() -> None:
    run = CliRunner().invoke(cli, ["devices", "--machine", "hgx-h100", "--mig", "1g,3g", "--json"])
    assert run.exit_code == 0, run.output
    slices = json.loads(run.output)
    assert [len(entry["devices"]) for entry in slices] == [0, 64, 16]
    assert slices[1]["devices"][0]["attributes"]["type"] == {"string": "gpu"}
    table = CliRunner().invoke(cli, ["devices", "--machine", "a30-x4", "--monitor"]).output
    assert re.search(r"^01 +monitor +monitor *$", table, re.MULTILINE)
    assert "5 devices in 2 slices" in table


def test_the_command_line_says_what_is_wrong_and_what_can_be_chosen() -> None:
    wrong = CliRunner().invoke(cli, ["devices", "--machine", "hgx-h100", "--mig", "9g"])
    assert wrong.exit_code == 2
    assert "9g: choose from 1g" in wrong.output
    unknown = CliRunner().invoke(cli, ["devices", "--machine", "toaster"])
    assert "choose one of" in str(unknown.exception)
    nameless = CliRunner().invoke(cli, ["run"], env={"NODE_NAME": ""})
    assert "NODE_NAME" in nameless.output


@pytest.mark.parametrize("command", ["run", "cleanup", "devices"])
def test_every_command_teaches_by_example(command: str) -> None:
    run = CliRunner().invoke(cli, [command, "--help"])
    assert run.exit_code == 0
    assert "partita-driver " in run.output.partition("\n\n")[2]
