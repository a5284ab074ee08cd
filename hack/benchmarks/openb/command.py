"""The command: one run for each trace, policy and seed."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import click
from hack.benchmarks.figures import print_rows
from hack.benchmarks.openb import trace as traces
from hack.benchmarks.openb.baselines import BestFit, Fgd
from hack.benchmarks.openb.cluster import Bools, Cluster
from hack.benchmarks.openb.partita import Partita
from hack.benchmarks.openb.trace import Trace, TracePod, arrivals, in_order
from hack.benchmarks.plot import write_plot

FIRST_SEED = 42
"""As published: 42 to 51."""


class Policy(Protocol):
    """Chooses nodes for the pods of one run."""

    def choose(self, pod: TracePod) -> tuple[int, Bools] | None:
        """The node, and which of its GPUs; None where the pod fits nowhere."""


POLICIES: dict[str, Callable[[Cluster, Trace], Policy]] = {"partita": Partita, "fgd": Fgd, "bestfit": BestFit}


class Run(NamedTuple):
    """One run, with the unallocated percentage of the cluster's GPUs at each percentage that has arrived."""

    trace: str
    policy: str
    seed: int
    curve: dict[int, float]

    @property
    def unallocated_percent(self) -> float:
        """When as many GPUs have been asked for as there are, or as near to that as the pods came."""
        return self.curve[max(self.curve)]


@click.command(
    help="How many GPUs of a real cluster stay unallocated because what is free is in pieces that nobody can use: the "
    "trace openb, by the protocol of FGD (USENIX ATC 2023). Pods come in random order until they have asked for as "
    "many GPUs as there are; nobody leaves, and a pod that fits nowhere is dropped. partita is the extender's "
    "fragmentation scorer, which learns the workload as it comes and has the GPUs that kube-scheduler's order of "
    "devices gives; fgd and bestfit choose those too, and fgd knows the whole trace before. A run takes 5 seconds."
)
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with openb_node_list_gpu_node.csv and openb_pod_list_NAME.csv (github.com/alibaba/clusterdata).",
)
@click.option("--trace", "names", multiple=True, help="NAME of the pods' file, as default. Repeatable. Default: all.")
@click.option(
    "--policy", "policies", multiple=True, type=click.Choice(list(POLICIES)), help="Repeatable. Default: all."
)
@click.option("--seeds", default=10, show_default=True, type=click.IntRange(1), help="Runs of each, from seed 42 on.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the mean curves to this SVG file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for each seed.")
def openb(
    data: Path, names: Sequence[str], policies: Sequence[str], seeds: int, plot: Path | None, *, as_json: bool
) -> None:
    """Measure and print."""
    found = {name: traces.read(data, name) for name in names or traces.names(data)}
    if not found:
        raise click.UsageError(f"--data {data} has no file {traces.PODS.format('NAME')}")
    plan = [(name, policy, FIRST_SEED + i) for name in found for policy in policies or POLICIES for i in range(seeds)]
    runs: list[Run] = []
    with click.progressbar(plan, file=sys.stderr, item_show_func=_shown, show_pos=True) as bar:
        for name, policy, seed in bar:
            runs.append(Run(name, policy, seed, play(found[name], POLICIES[policy], seed)))
            if as_json:
                print_rows([_row(runs[-1])], as_json=True)
    if not as_json:
        print_rows(_means(runs), as_json=False)
    if plot is not None:
        _draw(plot, runs)


def play(trace: Trace, policy: Callable[[Cluster, Trace], Policy], seed: int) -> dict[int, float]:
    """One run: what stays unallocated, by what has arrived, both in percent of the cluster's GPUs."""
    cluster = Cluster.of(list(in_order(trace.nodes, seed)))
    chooser = policy(cluster, trace)
    arrived = allocated = 0
    seen: dict[int, list[int]] = {}
    for pod in arrivals(trace, seed):
        arrived += pod.gpu_milli
        percent = round(100 * arrived / trace.gpu_milli)
        if percent > 100:
            break
        chosen = chooser.choose(pod)
        if chosen is not None:
            cluster.place(pod, *chosen)
            allocated += pod.gpu_milli
        seen.setdefault(percent, []).append(allocated)
    return {percent: 100 - 100 * statistics.fmean(some) / trace.gpu_milli for percent, some in seen.items()}


def _shown(item: tuple[str, str, int] | None) -> str:
    return " ".join(map(str, item or ()))


def _row(run: Run) -> dict[str, object]:
    return {
        "bench": "openb",
        "trace": run.trace,
        "policy": run.policy,
        "seed": run.seed,
        "unallocated_percent": round(run.unallocated_percent, 4),
    }


def _groups(runs: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.trace, run.policy), []).append(run)
    return found


def _means(runs: Sequence[Run]) -> list[dict[str, object]]:
    return [
        {
            "bench": "openb",
            "trace": trace,
            "policy": policy,
            "seeds": len(some),
            "unallocated_percent": statistics.fmean(run.unallocated_percent for run in some),
            "deviation": statistics.pstdev(run.unallocated_percent for run in some),
        }
        for (trace, policy), some in _groups(runs).items()
    ]


def _draw(path: Path, runs: Sequence[Run]) -> None:
    """The last fifth of the way, where the policies differ."""
    lines = {
        f"{trace} {policy}": [
            (float(percent), statistics.fmean(run.curve[percent] for run in some if percent in run.curve))
            for percent in range(80, 101)
            if any(percent in run.curve for run in some)
        ]
        for (trace, policy), some in _groups(runs).items()
    }
    write_plot(path, lines, title="GPUs unallocated", x="asked for, % of all GPUs", y="unallocated, % of all GPUs")
