"""How long kube-scheduler waits for an answer: names in, scores out, over HTTP."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from hack.benchmarks.figures import print_rows, quantile
from hack.benchmarks.fleet import node_name
from hack.benchmarks.fleet_server import WISHES, pod
from hack.benchmarks.vitals import look
from hack.demo.endpoints import LOOPBACK, http_port
from hack.demo.errors import DemoError
from hack.demo.processes import Process
from hack.demo.waiting import until

START_SECONDS = 300.0
SETTLE_SECONDS = 120.0
LOOK_SECONDS = 1.0
IDLE_SHARE = 0.1
VERBS = ("filter", "prioritize")
ORDERS = 8
"""kube-scheduler names the nodes in another order each time."""

HELP = f"""{__doc__}

The extender as shipped, in its own process, beside a fleet of machines in an API server stand-in (its own too), half
of whose GPUs are held by claims; and an extender that decodes the question and answers all alike (noop), on the same
HTTP server. They are asked in turns by one client, as kube-scheduler does: filter, then prioritize, for pods that want
{", ".join(map(str, WISHES))} GPUs.

\b
cold    the first question of each kind, right after the start
warm    once the work of the start is over
churn   while 50 claims a second get a GPU, and as many give theirs back
plain   pods without claims
ratio   p50 against that of noop in the same state

\b
Example:
  hack/bench latency --nodes 5000 --gpus 8 --json
"""


@dataclass(slots=True)
class Target:
    """One extender under measurement."""

    name: str
    process: Process
    connection: http.client.HTTPConnection
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """By state and verb."""

    def ask(self, state: str, verb: str, body: bytes) -> bytes:
        begun = time.perf_counter()
        self.connection.request("POST", f"/{verb}", body, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        answer = response.read()
        self.seconds.setdefault((state, verb), []).append(time.perf_counter() - begun)
        if response.status != http.client.OK:
            raise click.ClickException(f"{self.name} answered {response.status} to {verb}: {answer[:300]!r}")
        return answer


@click.command(help=HELP)
@click.option("--nodes", default=5000, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--gpus", default=8, show_default=True, type=click.IntRange(1, 16), help="Of each node.")
@click.option("--used", default=0.5, show_default=True, type=click.FloatRange(0, 0.9), help="Share of GPUs held.")
@click.option("--mig", default="", help="Shapes that each node offers beside whole GPUs: 1g,3g.")
@click.option(
    "--rounds", default=300, show_default=True, type=click.IntRange(4), help="Pods asked about in each state."
)
@click.option("--churn-per-second", default=50.0, show_default=True, type=click.FloatRange(1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def latency(
    *, nodes: int, gpus: int, used: float, mig: str, rounds: int, churn_per_second: float, as_json: bool
) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="partita-") as folder, _ended() as processes:
        options = {"nodes": nodes, "gpus": gpus, "used": used, "pods": rounds, "churn-per-second": churn_per_second}
        server = _server(Path(folder), processes, {**options, **({"mig": mig} if mig else {})})
        targets = _targets(Path(folder), processes)
        names = _names(nodes)
        _tell("cold")
        _ask(targets, "cold", range(len(WISHES)), names)
        _tell("what a start begins is let end")
        _settle(targets[-1].process)
        _tell("warm")
        _ask(targets, "warm", range(rounds), names)
        os.kill(server.pid, signal.SIGUSR1)
        _tell("churn")
        _ask(targets, "churn", range(rounds), names)
        os.kill(server.pid, signal.SIGUSR1)
        _tell("plain")
        _ask(targets, "plain", range(rounds), names)
        _tell("")
        for target in targets:
            target.connection.close()
        rss_mib = {target.name: look(target.process.pid, 0).rss_mib for target in targets}
    print_rows(list(_rows(targets, rss_mib, nodes)), as_json=as_json)


def _tell(state: str) -> None:
    print(f"{state:<60}", end="\r", file=sys.stderr, flush=True)


@contextmanager
def _ended() -> Iterator[list[Process]]:
    processes: list[Process] = []
    try:
        yield processes
    except DemoError as error:
        said = [line for process in processes if process.ended for line in process.lines()[-20:]]
        raise click.ClickException("\n".join([str(error), *said])) from error
    finally:
        for process in reversed(processes):
            process.kill()


def _server(folder: Path, processes: list[Process], options: dict[str, object]) -> Process:
    arguments = itertools.chain(*((f"--{name}", str(value)) for name, value in options.items()))
    path = folder / "kubeconfig"
    command = ["hack.benchmarks.fleet_server", *arguments, "--kubeconfig", str(path)]
    server = Process("fleet", command, folder / "fleet.log")
    processes.append(server)
    server.start()
    _tell("making the fleet")

    def up() -> bool:
        server.check()
        return any(line.startswith("ready") for line in server.lines())

    until("the fleet in the API server", up, seconds=START_SECONDS, process=lambda: "\n".join(server.lines()))
    return server


def _targets(folder: Path, processes: list[Process]) -> list[Target]:
    run = ["partita_scheduler", "run", "--kubeconfig", str(folder / "kubeconfig"), "--listen", f"{LOOPBACK}:0"]
    commands = {"noop": ["hack.benchmarks.noop"], "partita": run}
    found = []
    for name, command in commands.items():
        process = Process(name, command, folder / f"{name}.log")
        processes.append(process)
        process.start()
        _tell(f"{name} starts")
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


def _settle(process: Process) -> None:
    """Until the process has next to nothing to do: it learns from all claims after its start."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = _cpu_seconds(process.pid)
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        now = _cpu_seconds(process.pid)
        if now - before < IDLE_SHARE * LOOK_SECONDS:
            return
        before = now


def _cpu_seconds(pid: int) -> float:
    fields = Path("/proc", str(pid), "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _names(nodes: int) -> list[bytes]:
    listed = [node_name(number) for number in range(nodes)]
    chance = random.Random(1)
    return [json.dumps(chance.sample(listed, nodes), separators=(",", ":")).encode() for _ in range(ORDERS)]


def _ask(targets: list[Target], state: str, pods: range, names: list[bytes]) -> None:
    for number in pods:
        asked = json.dumps(pod(number, with_claim=state != "plain")).encode()
        body = b'{"Pod":' + asked + b',"Nodes":null,"NodeNames":' + names[number % len(names)] + b"}"
        for verb in VERBS:
            for target in targets if number % 2 else reversed(targets):
                _judge(target.name, state, verb, target.ask(state, verb, body))


def _judge(name: str, state: str, verb: str, answer: bytes) -> None:
    """A fast answer that is none would measure nothing."""
    if name == "partita" and verb == "prioritize" and state != "plain" and b'"Score":10' not in answer:
        raise click.ClickException(f"partita had no opinion ({state}): {answer[:200]!r}")


def _rows(targets: list[Target], rss_mib: dict[str, float], nodes: int) -> Iterator[dict[str, object]]:
    noop = targets[0]
    for target in targets:
        for (state, verb), seconds in target.seconds.items():
            p50 = quantile(seconds, 0.5)
            yield {
                "bench": "latency",
                "target": target.name,
                "verb": verb,
                "nodes": nodes,
                "state": state,
                "p50_ms": round(p50 * 1000, 3),
                "p99_ms": round(quantile(seconds, 0.99) * 1000, 3),
                "rss_mib": round(rss_mib[target.name], 1),
                "ratio": round(p50 / quantile(noop.seconds[state, verb], 0.5), 3),
            }
