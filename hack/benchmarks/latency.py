"""How long kube-scheduler waits for an answer: names in, scores out, over HTTP."""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
from hack.benchmarks.figures import print_rows, quantile
from hack.benchmarks.fleet import node_name
from hack.benchmarks.fleet_server import GPUS, pod, wishes
from hack.benchmarks.plot import write_plot
from hack.benchmarks.targets import Target, ended, settle, start_fleet, start_targets, tell
from hack.benchmarks.vitals import cpu_seconds, look

from partita_scheduler.install.stanza import PRESETS

DRAWN = ("warm", "churn")
MOST_ASKED = 0.8
"""Of the free GPUs: the last pods find no node with four at once."""

_OPINIONS: Mapping[str, Callable[[bytes], bool]] = {
    "filter": lambda _: True,
    "prioritize": lambda answer: b'"Score":10' in answer,
    "choose": lambda answer: len(json.loads(answer)["NodeNames"]) == 1,
}
"""Whether an answer of ours is one."""

PERCENTS = range(1, 100)
ORDERS = 8
"""kube-scheduler names the nodes in another order each time."""

HELP = f"""{__doc__}

The extender as shipped, in its own process, beside a fleet of machines in an API server stand-in (its own too), half
of whose GPUs are held by claims, and CPUs by pods, on each node as many as chance will have it; and an extender that
decodes the question and answers all alike (noop), on Flask and cheroot. They are asked in turns by one client, as
kube-scheduler does with the stanza of that --preset: choose, or filter and then prioritize. For pods that want
{", ".join(map(str, GPUS))} GPUs; with --mig also for one partition of each shape, and every second claim holds one.

\b
cold    the first question of each kind, right after the start
warm    once the work of the start is over
churn   while 50 claims a second get a GPU, and as many give theirs back
plain   pods without claims
ratio   p50 against that of noop in the same state
cpu_ms  what the extender spent for each question of the state, with all else that it did meanwhile

\b
Example:
  hack/bench latency --nodes 5000 --gpus 8 --json
"""


@click.command(help=HELP)
@click.option("--nodes", default=5000, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--gpus", default=8, show_default=True, type=click.IntRange(1, 16), help="Of each node.")
@click.option("--used", default=0.5, show_default=True, type=click.FloatRange(0, 0.9), help="Share of GPUs held.")
@click.option("--mig", default="", help="Shapes that each node offers beside whole GPUs: 1g,3g.")
@click.option(
    "--rounds", default=300, show_default=True, type=click.IntRange(4), help="Pods asked about in each state."
)
@click.option("--preset", default="strong", show_default=True, type=click.Choice(list(PRESETS)), help="Of the stanza.")
@click.option("--churn-per-second", default=50.0, show_default=True, type=click.FloatRange(1))
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write how many were answered by when to this SVG."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def latency(
    *,
    nodes: int,
    gpus: int,
    used: float,
    mig: str,
    rounds: int,
    preset: str,
    churn_per_second: float,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure and print."""
    kinds = wishes(gpus, mig)
    # Who is asked about a third time gets no opinion: the pods of churn are others than those of warm.
    pods = 2 * rounds
    _check_room(round(nodes * gpus * (1 - used)), kinds, pods)
    with tempfile.TemporaryDirectory(prefix="partita-") as folder, ended() as processes:
        options = {"nodes": nodes, "gpus": gpus, "used": used, "pods": pods, "churn-per-second": churn_per_second}
        fleet = start_fleet(Path(folder), processes, {**options, **({"mig": mig} if mig else {})})
        targets = start_targets(Path(folder), processes)
        ask = partial(_ask, targets, PRESETS[preset].verbs, names=_names(nodes))
        tell("cold")
        ask("cold", range(len(kinds)))
        tell("what a start begins is let end")
        settle(targets[-1].process)
        tell("warm")
        ask("warm", range(rounds))
        os.kill(fleet.pid, signal.SIGUSR1)
        tell("churn")
        ask("churn", range(rounds, pods))
        os.kill(fleet.pid, signal.SIGUSR1)
        tell("plain")
        ask("plain", range(rounds))
        tell("")
        for target in targets:
            target.connection.close()
        rss_mib = {target.name: look(target.process.pid, 0).rss_mib for target in targets}
    print_rows(list(_rows(targets, rss_mib, nodes)), as_json=as_json)
    if plot is not None:
        _draw(plot, targets)


def _check_room(free: int, kinds: Sequence[tuple[str, int]], pods: int) -> None:
    """The extender expects each pod that it answered to take its devices, and no node has any left in the end."""
    asked = sum(kinds[number % len(kinds)][1] for number in range(pods))
    if asked > MOST_ASKED * free:
        raise click.UsageError(
            f"{pods} pods want {asked} devices of a fleet with {free} free GPUs, and some would find none: "
            f"ask for fewer --rounds, or for more --nodes (at most {MOST_ASKED:.0%} may be wanted)"
        )


def _names(nodes: int) -> list[bytes]:
    listed = [node_name(number) for number in range(nodes)]
    chance = random.Random(1)
    return [json.dumps(chance.sample(listed, nodes), separators=(",", ":")).encode() for _ in range(ORDERS)]


def _ask(targets: list[Target], verbs: Sequence[str], state: str, pods: range, *, names: list[bytes]) -> None:
    before = [cpu_seconds(target.process.pid) for target in targets]
    for number in pods:
        asked = json.dumps(pod(number, with_claim=state != "plain")).encode()
        body = b'{"Pod":' + asked + b',"Nodes":null,"NodeNames":' + names[number % len(names)] + b"}"
        for verb in verbs:
            for target in targets if number % 2 else reversed(targets):
                _judge(target.name, state, verb, target.ask(state, verb, body))
    for target, spent in zip(targets, before, strict=True):
        target.cpu_ms[state] = 1000 * (cpu_seconds(target.process.pid) - spent) / (len(pods) * len(verbs))


def _judge(name: str, state: str, verb: str, answer: bytes) -> None:
    """A fast answer that is none would measure nothing."""
    if name == "partita" and state != "plain" and not _OPINIONS[verb](answer):
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
                "cpu_ms": round(target.cpu_ms[state], 3),
                "rss_mib": round(rss_mib[target.name], 1),
                "ratio": round(p50 / quantile(noop.seconds[state, verb], 0.5), 3),
            }


def _draw(path: Path, targets: list[Target]) -> None:
    lines = {
        f"{target.name} {verb} {state}": [(percent, 1000 * quantile(seconds, percent / 100)) for percent in PERCENTS]
        for target in targets
        for (state, verb), seconds in target.seconds.items()
        if state in DRAWN
    }
    write_plot(path, lines, title="Time to an answer", x="answered, % of all questions", y="ms")
