"""The API server stand-in with a fleet, as a process of its own: half of a real one's work is not on our account.

Prints its kubeconfig's path when it is ready. SIGUSR1 begins or ends the churn: so many claims a second get a GPU, and
as many give theirs back.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path

import click
import msgspec
from hack.benchmarks.fleet import (
    NAMESPACE,
    WHOLE,
    Holders,
    Json,
    bound_pod,
    claim,
    device_classes,
    machine_with,
    node,
    node_name,
    partitions,
    slices,
    whole_gpus,
)

from partita_plugins.model.offer import Offer
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.apiserver.resources import find
from partita_plugins.wire import DRIVER_NAME

HISTORY_MAX = 50_000
MOST_CPUS = 180
"""Of 192 that a node has: so many may be taken, and nodes that have the same GPUs free differ in that."""

GPUS = (1, 2, 3, 4)
"""Whole ones that the pods ask for, in turns."""


def wishes(gpus: int, mig: str) -> list[tuple[str, int]]:
    """What the pods ask for of nodes with so many GPUs, in turns: so many devices of a class."""
    shapes = [shape for shape in mig.split(",") if shape]
    counts = GPUS if gpus >= max(GPUS) else (1,) * len(GPUS)
    return [*((DRIVER_NAME, count) for count in counts), *((f"mig-{shape}.{DRIVER_NAME}", 1) for shape in shapes)]


def pod_name(number: int) -> str:
    return f"train-{number:04d}"


def pod(number: int, *, with_claim: bool = True) -> Json:
    """A pod as kube-scheduler sends it, with the claim of its name."""
    name = pod_name(number)
    container = {
        "name": "main",
        "image": "registry.example.com/team/train:2026.11",
        "resources": {
            "requests": {"cpu": "8", "memory": "64Gi"},
            **({"claims": [{"name": "gpu"}]} if with_claim else {}),
        },
        "env": [{"name": f"SETTING_{index}", "value": "x" * 40} for index in range(20)],
    }
    claims = [{"name": "gpu", "resourceClaimName": name}] if with_claim else []
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}{'' if with_claim else '-plain'}"},
        "spec": {"containers": [container], **({"resourceClaims": claims} if with_claim else {})},
        "status": {"phase": "Pending"},
    }


@click.command()
@click.option("--nodes", type=int, required=True)
@click.option("--gpus", type=int, required=True)
@click.option("--used", type=float, required=True)
@click.option("--pods", type=int, required=True)
@click.option("--mig", default="", help="Shapes of partitions that each node offers beside whole GPUs.")
@click.option("--churn-per-second", type=float, required=True)
@click.option("--kubeconfig", type=click.Path(path_type=Path), required=True)
def main(*, nodes: int, gpus: int, used: float, pods: int, mig: str, churn_per_second: float, kubeconfig: Path) -> None:
    """Serve until SIGTERM."""
    machine_name = machine_with(gpus)
    server = ApiServer(history_max=HISTORY_MAX)
    offer = Offer(mig_shapes=frozenset(mig.split(","))) if mig else WHOLE
    names = [node_name(number) for number in range(nodes)]
    chance = random.Random(7)
    for name in names:
        _put(server, "Node", node(name))
        _put(server, "Pod", bound_pod(name, chance.randrange(MOST_CPUS)))
        for one in slices(name, machine_name, offer):
            _put(server, "ResourceSlice", msgspec.to_builtins(one))
    for found in device_classes():
        server.create(found)
    kinds = wishes(gpus, mig)
    for number in range(max(pods, len(kinds))):
        kind, count = kinds[number % len(kinds)]
        server.create(claim(pod_name(number), count, kind))
    holders = Holders(names, whole_gpus(machine_name), random.Random(7), partitions(machine_name, offer))
    for found in holders.fill(used):
        _put(server, "ResourceClaim", found)
    churning = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: churning.clear() if churning.is_set() else churning.set())
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with server:
        server.write_kubeconfig(kubeconfig)
        click.echo(f"ready {kubeconfig}")
        _churn(server, holders, churning, ending, 1.0 / churn_per_second)


def _churn(
    server: ApiServer, holders: Holders, churning: threading.Event, ending: threading.Event, period_seconds: float
) -> None:
    due = time.monotonic()
    while not ending.wait(max(0.0, due - time.monotonic())):
        due = max(due + period_seconds, time.monotonic() - 1.0)
        if churning.is_set():
            _put(server, "ResourceClaim", holders.take())
            server.store.remove(find("ResourceClaim").storage, (NAMESPACE, holders.give_back()))


def _put(server: ApiServer, kind: str, found: Json) -> None:
    """Past the checks of admission, which would take minutes for a fleet."""
    server.store.put(find(kind).storage, found)


if __name__ == "__main__":
    main()
