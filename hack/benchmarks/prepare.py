"""NodePrepareResources and NodeUnprepareResources of many MIG claims: alone, and all at once."""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import click
from hack.benchmarks.figures import print_rows, quantile
from hack.benchmarks.node import Node, node
from hack.benchmarks.work import Bounds, bounds_between, state_of

from partita_plugins.backends import catalog
from partita_plugins.backends.simulated import Delays
from partita_plugins.testing.kubelet.drivers import ClaimRef
from partita_plugins.wire.device_names import parse_name

HELP = """Latency of NodePrepareResources and NodeUnprepareResources: each MIG claim alone, then all at once.

The real driver process runs on simulated GPUs whose calls take as long as you say. It is called over its socket as the
kubelet does: one call a pod, and so a claim. All claims are on the node's first GPUs, one GPU after the other.

\b
mode alone        one call after the other, as with one lock for the node: the baseline
mode concurrent   all calls at once

\b
seconds                 from the first call to the last answer, median of the runs
parallel_bound_seconds  work of the busiest GPU: no driver can be faster
serial_bound_seconds    work of all GPUs: no driver with one lock for the node can be faster
ratio                   seconds / parallel_bound_seconds; the goal for mode concurrent is 1.2 at most
p50_seconds, p99_seconds  of single calls; at once they wait for their GPU as well

Work is what the hardware went through between its states before and after: a switch of MIG mode (on with a GPU's first
partition, off with its last), each GPU instance and each compute instance takes --create-seconds or --destroy-seconds.
Machines before Hopper need a reset to switch the mode, so they offer no partitions here.

\b
Example:
  hack/bench prepare --concurrency 28 --gpus 4 --create-seconds 1 --json
"""
MODES = ("alone", "concurrent")


@dataclass(frozen=True, slots=True)
class Round:
    """One verb for all claims in one mode."""

    verb: str
    mode: str
    seconds: float
    bounds: Bounds
    calls: tuple[float, ...]


@click.command(help=HELP)
@click.option("--concurrency", default=28, show_default=True, type=click.IntRange(1, 112), help="Claims.")
@click.option("--gpus", default=4, show_default=True, type=click.IntRange(1, 16), help="GPUs that they are on.")
@click.option("--machine", default="hgx-h100", show_default=True, type=click.Choice(catalog.names()))
@click.option("--shape", default="1g", show_default=True, help="Partition that each claim has.")
@click.option("--create-seconds", default=1.0, show_default=True, type=click.FloatRange(0, 10), help="Of each step.")
@click.option("--destroy-seconds", type=click.FloatRange(0, 10), help="Of each step  [default: --create-seconds]")
@click.option("--query-seconds", default=0.0, show_default=True, type=click.FloatRange(0, 1), help="Of each look.")
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1, 100), help="Each on a fresh node.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def prepare(
    *,
    concurrency: int,
    gpus: int,
    machine: str,
    shape: str,
    create_seconds: float,
    destroy_seconds: float | None,
    query_seconds: float,
    runs: int,
    as_json: bool,
) -> None:
    """Measure and print."""
    delays = Delays(
        create_seconds=create_seconds,
        destroy_seconds=create_seconds if destroy_seconds is None else destroy_seconds,
        query_seconds=query_seconds,
    )
    rounds: dict[tuple[str, str], list[Round]] = defaultdict(list)
    for number in range(1, runs + 1):
        with node(machine, delays=delays) as world:
            devices = chosen(world.devices(), concurrency, gpus, shape)
            for mode in MODES:
                for done in measure(world, devices, mode, delays, f"run {number} of {runs}, {mode}"):
                    rounds[done.verb, done.mode].append(done)
    print_rows([row(measured, gpus, create_seconds) for measured in rounds.values()], as_json=as_json)


def chosen(published: Sequence[str], count: int, gpus: int, shape: str) -> list[str]:
    """So many partitions on so many GPUs, as evenly as that goes, GPU by GPU. UsageError says how many there are."""
    by_gpu: dict[str, list[str]] = defaultdict(list)
    for name in published:
        if (parsed := parse_name(name)).shape == shape:
            by_gpu[parsed.pci_label].append(name)
    if len(by_gpu) < gpus:
        raise click.UsageError(f"{len(by_gpu)} GPUs offer partition {shape}: choose another --machine or fewer --gpus")
    used = [by_gpu[label] for label in sorted(by_gpu)[:gpus]]
    shares = [count // gpus + (index < count % gpus) for index in range(gpus)]
    if any(share > len(names) for share, names in zip(shares, used, strict=True)):
        room = sum(map(len, used))
        raise click.UsageError(
            f"{gpus} GPUs have {room} partitions {shape}: choose --concurrency {room} or more --gpus"
        )
    return [name for names, share in zip(used, shares, strict=True) for name in names[:share]]


def measure(world: Node, devices: Sequence[str], mode: str, delays: Delays, about: str) -> list[Round]:
    """Prepare and unprepare a claim for each device. Raises ClickException with the driver's first error."""
    claims = [world.allocate(f"{mode}-{index}", device) for index, device in enumerate(devices)]
    width = len(claims) if mode == "concurrent" else 1
    rounds = []
    for verb, call in (("prepare", world.prepare), ("unprepare", world.unprepare)):
        before = state_of(world.machine)
        begun = time.monotonic()
        calls = _each(call, claims, width, f"{about}: {verb}")
        seconds = time.monotonic() - begun
        bounds = bounds_between(before, state_of(world.machine), delays)
        rounds.append(Round(verb, mode, seconds, bounds, calls))
    for claim in claims:
        world.forget(claim)
    return rounds


def row(rounds: Sequence[Round], gpus: int, create_seconds: float) -> dict[str, object]:
    """One verb and mode over all runs."""
    seconds = [one.seconds for one in rounds]
    calls = [call for one in rounds for call in one.calls]
    middle, bounds = statistics.median(seconds), rounds[0].bounds
    return {
        "bench": "prepare",
        "verb": rounds[0].verb,
        "mode": rounds[0].mode,
        "claims": len(rounds[0].calls),
        "gpus": gpus,
        "create_seconds": create_seconds,
        "runs": len(rounds),
        "seconds": round(middle, 3),
        "spread_seconds": round(max(seconds) - min(seconds), 3),
        "parallel_bound_seconds": round(bounds.parallel_seconds, 3),
        "serial_bound_seconds": round(bounds.serial_seconds, 3),
        "ratio": round(middle / bounds.parallel_seconds, 3) if bounds.parallel_seconds else None,
        "p50_seconds": round(quantile(calls, 0.5), 4),
        "p99_seconds": round(quantile(calls, 0.99), 4),
    }


def _each(call: Callable[[ClaimRef], str], claims: Sequence[ClaimRef], width: int, about: str) -> tuple[float, ...]:
    """Seconds of every call, so many at once, begun in order."""
    done: list[float] = []

    def one(claim: ClaimRef) -> None:
        begun = time.monotonic()
        error = call(claim)
        if error:
            raise click.ClickException(f"{claim.name}: {error}")
        done.append(time.monotonic() - begun)
        print(f"{about} {len(done)} of {len(claims)}   ", end="\r", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(width) as pool:
        for future in [pool.submit(one, claim) for claim in claims]:
            future.result()
    print(file=sys.stderr)
    return tuple(done)
