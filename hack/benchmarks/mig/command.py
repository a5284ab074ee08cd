"""The command: one run for each mix, load, policy and seed."""

from __future__ import annotations

import heapq
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
from hack.benchmarks.figures import print_rows
from hack.benchmarks.mig.geometry import GPUS, SIZES, SLICES, Geometry
from hack.benchmarks.mig.policies import POLICIES, Place, make
from hack.benchmarks.mig.stream import ARRIVALS, MIXES, WARM_UP, stream
from hack.benchmarks.plot import write_plot

LOADS = (0.8, 1.0, 1.2)


class Case(NamedTuple):
    """What one run is."""

    mix: str
    load: float
    policy: str
    seed: int


@click.command(
    help="How many MIG partitions a fleet of 8-GPU machines takes as pods come and go: Poisson arrivals of 1g, 2g, 3g, "
    "4g and 7g, exponential lifetimes, no queue. partita is the extender's fragmentation scorer, with placements as "
    "kube-scheduler takes them in the order in which the driver publishes them. fgd and mcc choose the best placement "
    "of the whole fleet by uniform FGD and by what can still be made; naive is a random node without any order. All "
    "see the same pods."
)
@click.option("--nodes", default=12, show_default=True, type=click.IntRange(1))
@click.option("--mix", "mixes", multiple=True, type=click.Choice(list(MIXES)), help="Repeatable. Default: all.")
@click.option(
    "--load", "loads", multiple=True, type=click.FloatRange(0.01, 10), help="Of all slices. Default: .8, 1, 1.2."
)
@click.option("--policy", "policies", multiple=True, type=click.Choice(POLICIES), help="Repeatable. Default: all.")
@click.option("--seeds", default=2, show_default=True, type=click.IntRange(1))
@click.option("--arrivals", default=ARRIVALS, show_default=True, type=click.IntRange(10), help="A fifth is warm-up.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write acceptance by load to this SVG file."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for each seed.")
def mig(
    *,
    nodes: int,
    mixes: Sequence[str],
    loads: Sequence[float],
    policies: Sequence[str],
    seeds: int,
    arrivals: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure and print."""
    geometry = Geometry.of_machine()
    plan = [
        Case(mix, load, policy, seed)
        for mix in mixes or MIXES
        for load in loads or LOADS
        for policy in policies or POLICIES
        for seed in range(seeds)
    ]
    rows: list[dict[str, object]] = []
    with click.progressbar(plan, file=sys.stderr, item_show_func=lambda case: " ".join(map(str, case or ()))) as bar:
        for case in bar:
            rows.append(_row(case, nodes, *play(case, nodes, geometry, arrivals)))
            if as_json:
                print_rows(rows[-1:], as_json=True)
    if not as_json:
        print_rows(_means(rows), as_json=False)
    if plot is not None:
        _draw(plot, rows)


def _row(case: Case, nodes: int, accepted: float, used: float) -> dict[str, object]:
    return {
        "bench": "mig",
        "nodes": nodes,
        **case._asdict(),
        "acceptance_percent": round(accepted, 3),
        "utilisation_percent": round(used, 3),
    }


def play(case: Case, nodes: int, geometry: Geometry, arrivals: int) -> tuple[float, float]:
    """One run: pods that got their partition, and slices in use over time, in percent, after warm-up."""
    policy, taken = make(case.policy, nodes, geometry, case.seed)
    warm_up = arrivals * WARM_UP // ARRIVALS
    leaving: list[tuple[float, Place, int]] = []
    now = began = area = 0.0
    used = accepted = 0
    for number, pod in enumerate(stream(case.mix, case.load, nodes, case.seed, arrivals)):
        if number == warm_up:
            began, area, accepted = pod.at, 0.0, 0
        while leaving and leaving[0][0] <= pod.at:
            at, (node, gpu, mask), size = heapq.heappop(leaving)
            area += used * (at - max(now, began))
            now, used = at, used - size
            taken[node][gpu] &= ~mask
            policy.changed(node)
        area += used * (pod.at - max(now, began))
        now = pod.at
        place = policy.choose(pod.shape)
        if place is not None:
            node, gpu, mask = place
            taken[node][gpu] |= mask
            policy.changed(node)
            used, accepted = used + SIZES[pod.shape], accepted + 1
            heapq.heappush(leaving, (pod.at + pod.lifetime, place, SIZES[pod.shape]))
    return 100 * accepted / (arrivals - warm_up), 100 * area / ((now - began) * nodes * GPUS * SLICES)


def _means(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Over seeds; and at the end over mixes and loads too."""
    groups: dict[tuple[object, ...], list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault((row["mix"], row["load"], row["policy"]), []).append(row)
    for row in rows:
        groups.setdefault(("all", "all", row["policy"]), []).append(row)
    return [
        {
            "bench": "mig",
            "nodes": some[0]["nodes"],
            "mix": mix,
            "load": load,
            "policy": policy,
            "acceptance_percent": statistics.fmean(float(str(row["acceptance_percent"])) for row in some),
            "utilisation_percent": statistics.fmean(float(str(row["utilisation_percent"])) for row in some),
        }
        for (mix, load, policy), some in groups.items()
    ]


def _draw(path: Path, rows: Sequence[dict[str, object]]) -> None:
    lines: dict[str, list[tuple[float, float]]] = {}
    for mean in _means(rows):
        if mean["mix"] != "all":
            point = float(str(mean["load"])), float(str(mean["acceptance_percent"]))
            lines.setdefault(f"{mean['mix']} {mean['policy']}", []).append(point)
    write_plot(path, lines, title="MIG partitions accepted", x="load", y="accepted, %")
