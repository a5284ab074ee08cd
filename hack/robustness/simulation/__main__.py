"""hack/simulate."""

from __future__ import annotations

import os
import sys
import time

import click
from hack.robustness.invariants import INVARIANTS, INVARIANTS_AT_THE_END
from hack.robustness.simulation.coverage import table
from hack.robustness.simulation.many import Total, run_all, workplace
from hack.robustness.simulation.run import Result, run, steps_of
from hack.robustness.simulation.shrink import shortened

LAST_LINES = 40
UNTOLD = (" a lock", " an event", "waits to be told", " sleeps ", " starts partita-")
"""Turns that are left out of a failure's last lines; --trace has them."""

SEED_MAX = 2**63


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="How many seeds. Default: 1000, or 1 with --seed.")
@click.option("--seed", type=click.IntRange(0, SEED_MAX), metavar="S", help="The first seed. Default: 1.")
@click.option("--trace", is_flag=True, help="Print every step of the one seed in plain words.")
@click.option("--jobs", type=click.IntRange(1), metavar="J", help="Worker processes. Default: one for each core.")
def main(seeds: int | None, seed: int | None, jobs: int | None, *, trace: bool) -> None:
    """Run the driver, a kubelet, an API server and GPUs in one process, in virtual time, under a seeded scheduler.

    A seed decides everything: which pods come and go, which faults and kills hit, and who goes on at every lock,
    backend call, API call and fault point. The same seed gives the same run. After each stretch, and at the end
    with all faults lifted, the invariants of hack/robustness/invariants.py are checked.

    \b
      hack/simulate --seeds 1000        what CI runs
      hack/simulate --seed 17           one seed
      hack/simulate --seed 17 --trace   what happens in it, step by step

    Exit status: 0 if every invariant held, 1 if not, 2 for wrong arguments.
    """
    first, count = (1 if seed is None else seed), seeds or (1 if seed is not None else 1000)
    if trace and count != 1:
        raise click.UsageError("--trace shows one seed: give --seed S and leave --seeds out")
    if trace:
        sys.exit(_show(first))
    begun = time.monotonic()
    total = run_all(first, count, jobs or os.cpu_count() or 1, lambda so_far: _progress(so_far, count, begun))
    _summary(total, time.monotonic() - begun)
    if total.first_failure:
        _explain(total.first_failure)
        sys.exit(1)


def _show(seed: int) -> int:
    with workplace() as (folder, devices):
        result = run(seed, folder, devices, trace=True)
    for line in result.trace:
        click.echo(line)
    click.echo(f"seed {seed}: {result.checks} checks, {result.turns} turns, trace {result.digest[:16]}")
    return 1 if result.invariant else 0


def _progress(total: Total, count: int, begun: float) -> None:
    if sys.stderr.isatty():
        rate = total.seeds / (time.monotonic() - begun) * 60
        click.echo(f"\r{total.seeds} of {count} seeds, {rate:.0f} a minute ", err=True, nl=False)


def _summary(total: Total, seconds: float) -> None:
    if sys.stderr.isatty():
        click.echo("\r" + " " * 60 + "\r", err=True, nl=False)
    for line in table(total.coverage):
        click.echo(line)
    kinds = len(INVARIANTS) + len(INVARIANTS_AT_THE_END)
    click.echo(f"seeds run: {total.seeds} in {seconds:.0f} s ({total.seeds / seconds * 60:.0f} a minute)")
    click.echo(f"invariants checked: {kinds} kinds, {total.checks} times")
    click.echo(f"first failing seed: {total.first_failure.seed if total.first_failure else 'none'}")


def _explain(failure: Result) -> None:
    """The shortest story that breaks the same invariant, its last steps, and how to see all of it."""
    seed = failure.seed
    with workplace() as (folder, devices):
        kept = shortened(
            steps_of(seed), lambda fewer: run(seed, folder, devices, steps=fewer).invariant == failure.invariant
        )
        result = run(seed, folder, devices, steps=kept, trace=True)
    click.echo(f"\nseed {seed} breaks {failure.invariant}:\n{failure.found}")
    click.echo(
        f"\nshortened to {len(kept)} of {len(steps_of(seed))} steps: {', '.join(step.operation for step in kept)}"
    )
    click.echo(f"its last {LAST_LINES} lines:")
    told = [line for line in result.trace if not any(word in line for word in UNTOLD)]
    for line in told[-LAST_LINES:]:
        click.echo(f"  {line}")
    click.echo(f"\nreplay the whole of it: hack/simulate --seed {seed} --trace")


if __name__ == "__main__":
    main(prog_name="hack/simulate")
