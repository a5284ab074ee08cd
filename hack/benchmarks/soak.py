"""Does the driver's process stay as it is over thousands of claims?"""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import click
from hack.benchmarks.figures import print_rows
from hack.benchmarks.lanes import Lane, Unexpected, lanes
from hack.benchmarks.node import Node, node
from hack.benchmarks.vitals import Bounds, Drift, Vitals, drift, look

SAMPLES = 50
CYCLES_A_SAMPLE = 60
"""At least: with fewer the lanes would mostly wait for one another."""

BOUNDS = Bounds(rss_mib=4.0, rss_mib_per_1000_cycles=0.25, fds=4, threads=4)

HELP = f"""Memory, file descriptors and threads of the driver's process over thousands of prepare/unprepare cycles.

The real driver process on simulated GPUs, called over its socket as the kubelet does. Six lanes go on side by side:
whole GPU, 1g and 3g on one GPU in turns; two partitions of one GPU; two shares of one GPU; a GPU whose memory breaks
and heals; and among them claims for a device that is not there, and claims that were replaced.

After the warm-up (not counted in cycles) the process is looked at up to {SAMPLES} times, with no call at work. Start
and end are medians of the first and the last tenth. Flat is: at most {BOUNDS.rss_mib:g} MiB more memory, plus
{BOUNDS.rss_mib_per_1000_cycles:g} MiB for each 1,000 cycles; {BOUNDS.fds} more file descriptors, {BOUNDS.threads} more
threads. Otherwise the exit code is 1, as it is when a claim is not answered as its kind must be.

\b
Example:
  hack/bench soak --cycles 10000 --json
"""
MACHINE = "hgx-h100"
REVALIDATE_SECONDS = 1.0
"""A GPU that broke is soon offered again, and breaks again."""

QUIET_SECONDS = 0.02


@click.command(help=HELP)
@click.option("--cycles", default=10_000, show_default=True, type=click.IntRange(100), help="Claims after the warm-up.")
@click.option("--warm-up", default=1_000, show_default=True, type=click.IntRange(0), help="Claims before it.")
@click.option(
    "--allow-mib", default=BOUNDS.rss_mib, show_default=True, type=click.FloatRange(0), help="The first of the bounds."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def soak(*, cycles: int, warm_up: int, allow_mib: float, as_json: bool) -> None:
    """Measure, print, and judge."""
    bounds = replace(BOUNDS, rss_mib=allow_mib)
    with node(MACHINE, f"--revalidate-seconds={REVALIDATE_SECONDS:g}") as world:
        work = lanes(world)
        try:
            print(f"warming up with {warm_up} cycles", file=sys.stderr)
            _run(world, work, warm_up)
            before = _count(work)
            begun = time.monotonic()
            samples = _sampled(world, work, cycles)
            seconds = time.monotonic() - begun
        except Unexpected as error:
            raise click.ClickException(f"{error}\n{_tail(world)}") from error
        found = drift(samples)
        row = _row(world, found, seconds, _count(work) - before)
    grown = found.grown(bounds)
    print_rows([{**row, "flat": not grown}], as_json=as_json)
    if grown:
        raise click.ClickException(f"not flat over {cycles} cycles: {'; '.join(grown)}")


def _sampled(world: Node, work: list[Lane], cycles: int) -> list[Vitals]:
    samples, count = [look(world.process.pid, 0)], max(1, min(SAMPLES, cycles // CYCLES_A_SAMPLE))
    for number in range(1, count + 1):
        due = cycles * number // count
        _run(world, work, due - samples[-1].cycles)
        samples.append(look(world.process.pid, due))
        print(f"{due} of {cycles} cycles, {samples[-1].rss_mib:.1f} MiB   ", end="\r", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return samples


def _run(world: Node, work: list[Lane], cycles: int) -> None:
    """So many cycles, as evenly over the lanes as that goes; none is at work when it returns."""
    with ThreadPoolExecutor(len(work)) as pool:
        shares = [cycles // len(work) + (index < cycles % len(work)) for index in range(len(work))]
        for future in [pool.submit(lane.run, world, share) for lane, share in zip(work, shares, strict=True)]:
            future.result()
    time.sleep(QUIET_SECONDS)


def _count(work: list[Lane]) -> Counter[str]:
    total: Counter[str] = Counter()
    for lane in work:
        total.update(lane.done)
    return total


def _row(world: Node, found: Drift, seconds: float, kinds: Counter[str]) -> dict[str, object]:
    cycles = kinds.total()
    return {
        "bench": "soak",
        "cycles": cycles,
        "seconds": round(seconds, 1),
        "cycles_per_second": round(cycles / seconds, 1),
        "rss_mib_start": round(found.start.rss_mib, 2),
        "rss_mib_end": round(found.end.rss_mib, 2),
        "rss_mib_per_1000_cycles": round(found.rss_mib_per_1000_cycles, 3),
        "fds_start": found.start.fds,
        "fds_end": found.end.fds,
        "threads_start": found.start.threads,
        "threads_end": found.end.threads,
        "journal_bytes": _bytes_in(world.folder / "state" / "journal"),
        **{kind.replace("-", "_"): count for kind, count in sorted(kinds.items())},
    }


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _tail(world: Node) -> str:
    return "\n".join(world.process.lines()[-5:])
