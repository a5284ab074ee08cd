"""The processes that `hack/bench latency` measures: an API server stand-in with a fleet, and two extenders."""

from __future__ import annotations

import http.client
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from hack.benchmarks.vitals import cpu_seconds
from hack.demo.endpoints import LOOPBACK, http_port
from hack.demo.errors import DemoError
from hack.demo.processes import Process
from hack.demo.waiting import until

START_SECONDS = 300.0
SETTLE_SECONDS = 120.0
LOOK_SECONDS = 1.0
IDLE_SHARE = 0.1


@dataclass(slots=True)
class Target:
    """One extender under measurement."""

    name: str
    process: Process
    connection: http.client.HTTPConnection
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """By state and verb."""

    cpu_ms: dict[str, float] = field(default_factory=dict)
    """By state, for each question, with all that the process did meanwhile."""

    def ask(self, state: str, verb: str, body: bytes) -> bytes:
        begun = time.perf_counter()
        self.connection.request("POST", f"/{verb}", body, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        answer = response.read()
        self.seconds.setdefault((state, verb), []).append(time.perf_counter() - begun)
        if response.status != http.client.OK:
            raise click.ClickException(f"{self.name} answered {response.status} to {verb}: {answer[:300]!r}")
        return answer


def tell(state: str) -> None:
    """Say on the terminal what is being done."""
    print(f"{state:<60}", end="\r", file=sys.stderr, flush=True)


@contextmanager
def ended() -> Iterator[list[Process]]:
    """A list for processes, which are killed at the end; one that ended by itself is told of."""
    processes: list[Process] = []
    try:
        yield processes
    except DemoError as error:
        said = [line for process in processes if process.ended for line in process.lines()[-20:]]
        raise click.ClickException("\n".join([str(error), *said])) from error
    finally:
        for process in reversed(processes):
            process.kill()


def start_fleet(folder: Path, processes: list[Process], options: dict[str, object]) -> Process:
    """The API server stand-in with its fleet, up."""
    arguments = itertools.chain(*((f"--{name}", str(value)) for name, value in options.items()))
    path = folder / "kubeconfig"
    command = ["hack.benchmarks.fleet_server", *arguments, "--kubeconfig", str(path)]
    fleet = Process("fleet", command, folder / "fleet.log")
    processes.append(fleet)
    fleet.start()
    tell("making the fleet")

    def up() -> bool:
        fleet.check()
        return any(line.startswith("ready") for line in fleet.lines())

    until("the fleet in the API server", up, seconds=START_SECONDS, process=lambda: "\n".join(fleet.lines()))
    return fleet


def start_targets(folder: Path, processes: list[Process]) -> list[Target]:
    """The baseline and the extender, ready, in this order."""
    run = ["partita_scheduler", "run", "--kubeconfig", str(folder / "kubeconfig"), "--listen", f"{LOOPBACK}:0"]
    commands = {"noop": ["hack.benchmarks.noop"], "partita": run}
    found = []
    for name, command in commands.items():
        process = Process(name, command, folder / f"{name}.log")
        processes.append(process)
        process.start()
        tell(f"{name} starts")
        port = until(f"{name} listens", lambda process=process: http_port(process), seconds=START_SECONDS)  # type: ignore[misc]
        found.append(Target(name, process, http.client.HTTPConnection(LOOPBACK, port, timeout=60)))
    until("partita is ready", lambda: _ready(found[-1]), seconds=START_SECONDS)
    return found


def _ready(target: Target) -> bool:
    target.process.check()
    target.connection.request("GET", "/readyz")
    response = target.connection.getresponse()
    response.read()
    return response.status == http.client.OK


def settle(process: Process) -> None:
    """Until the process has next to nothing to do: it learns from all claims after its start."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = cpu_seconds(process.pid)
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        now = cpu_seconds(process.pid)
        if now - before < IDLE_SHARE * LOOK_SECONDS:
            return
        before = now
