"""The openb trace: its nodes, its pods, and pods as they arrive in one run."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from partita_plugins.contracts import PodShape

NODES = "openb_node_list_gpu_node.csv"
PODS = "openb_pod_list_{}.csv"
ARRIVING = 1.3
"""Of the cluster's GPUs are asked for in one run."""


@dataclass(frozen=True, slots=True)
class TraceNode:
    """One node."""

    name: str
    cpu_milli: int
    memory_mib: int
    gpus: int
    product: str


@dataclass(frozen=True, slots=True)
class TracePod:
    """One pod."""

    shape: PodShape
    memory_mib: int

    @property
    def gpu_milli(self) -> int:
        return self.shape.gpus * self.shape.gpu_milli


@dataclass(frozen=True, slots=True)
class Trace:
    """A cluster and what it is asked for; pods by name."""

    nodes: tuple[TraceNode, ...]
    pods: tuple[TracePod, ...]

    @property
    def gpu_milli(self) -> int:
        """What the cluster has."""
        return 1000 * sum(node.gpus for node in self.nodes)


def names(folder: Path) -> list[str]:
    """The traces in a folder."""
    before, after = PODS.split("{}")
    return sorted(path.name.removeprefix(before).removesuffix(after) for path in folder.glob(PODS.format("*")))


def read(folder: Path, name: str) -> Trace:
    """One trace. Raises click.UsageError that says what was looked for."""
    if not (folder / NODES).is_file():
        raise click.UsageError(
            f"--data {folder} has no {NODES}: give the folder with the CSV files of openb_pod_list and openb_node_list "
            "(github.com/alibaba/clusterdata, cluster-trace-gpu-v2023)"
        )
    if not (folder / PODS.format(name)).is_file():
        raise click.UsageError(f"--trace {name!r} is not in {folder}; there are: {', '.join(names(folder))}")
    nodes = tuple(
        TraceNode(row["sn"], int(row["cpu_milli"]), int(row["memory_mib"]), int(row["gpu"]), row["model"])
        for row in _rows(folder / NODES)
    )
    pods = sorted(_rows(folder / PODS.format(name)), key=lambda row: row["name"])
    return Trace(nodes, tuple(map(_pod, pods)))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _pod(row: dict[str, str]) -> TracePod:
    gpus = int(row["num_gpu"])
    products = frozenset(row.get("gpu_spec", "").split("|")) - {""}
    milli = int(row["gpu_milli"]) if gpus else 1000
    shape = PodShape(cpu_milli=int(row["cpu_milli"]), gpus=gpus, gpu_milli=milli, products=products)
    return TracePod(shape, int(row["memory_mib"]))


def arrivals(trace: Trace, seed: int) -> list[TracePod]:
    """The pods in random order, thinned out or drawn again until they ask for 1.3 times the cluster's GPUs."""
    draw = random.Random(seed)
    pods = list(trace.pods)
    draw.shuffle(pods)
    enough = ARRIVING * trace.gpu_milli
    total = sum(pod.gpu_milli for pod in pods)
    while total > enough:
        total -= pods.pop(draw.randrange(len(pods))).gpu_milli
    while True:
        more = draw.choice(trace.pods)
        if total + more.shape.gpu_milli * (more.shape.gpus > 0) > enough:
            return pods
        pods.append(more)
        total += more.gpu_milli


def in_order(nodes: Sequence[TraceNode], seed: int) -> Iterator[TraceNode]:
    """The nodes in the order that decides between equals in one run."""
    return iter(random.Random(f"nodes {seed}").sample(nodes, len(nodes)))
