"""The command line of hack/chaos."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

BEGAN = time.monotonic()
# Libraries of arrays start threads when they are imported, and a process with threads cannot be forked.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import click  # noqa: E402
from hack.robustness.campaign.modes import MODES  # noqa: E402
from hack.robustness.campaign.run import full, play, quick  # noqa: E402
from hack.robustness.campaign.table import Progress, failures, table, write_json  # noqa: E402
from hack.robustness.campaign.zygote import Zygote  # noqa: E402

from partita_driver.fault_points import POINTS  # noqa: E402
from partita_plugins import registry  # noqa: E402
from partita_plugins.wire.learn import learn_types  # noqa: E402

FOLDER = "/tmp"  # noqa: S108 - sockets below it must have short paths


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--list", "list_", is_flag=True, help="Print the driver's fault points and the modes, and do nothing.")
@click.option("--point", "points", multiple=True, metavar="NAME", help="Only this point; may be given again.")
@click.option(
    "--mode", "modes", multiple=True, type=click.Choice(list(MODES)), help="Only this mode; may be given again."
)
@click.option("--quick", "quick_", is_flag=True, help="CI's part: every point once, the modes in turn.")
@click.option("--seed", default=0, show_default=True, help="Chooses devices, and what a power loss spares.")
@click.option(
    "--rounds", default=1, show_default=True, type=click.IntRange(1), help="Play all of it with so many seeds."
)
@click.option("--jobs", default=os.cpu_count() or 1, show_default="one a core", type=click.IntRange(1), help="At once.")
@click.option("--keep", is_flag=True, help="Keep the folders of cells that went well, too.")
def main(
    *,
    list_: bool,
    points: tuple[str, ...],
    modes: tuple[str, ...],
    quick_: bool,
    seed: int,
    rounds: int,
    jobs: int,
    keep: bool,
) -> None:
    """Kill the driver at each of its fault points, in each mode, and judge what it left.

    A cell is one point in one mode: bystander claims are prepared, the driver process is led to the point and killed
    there (SIGKILL), the node loses what the mode takes, the driver starts again, the kubelet repeats what it must, the
    next claim gets the hardware, and all is given back. Meanwhile the invariants of hack/robustness/invariants.py hold,
    or the cell fails, keeps its folder and prints the command that plays it again.

    \b
      hack/chaos --list
      hack/chaos --quick
      hack/chaos --point done-create-gpu-instance --mode lost-writes --seed 3
      CHAOS_JSON=chaos.jsonl hack/chaos --rounds 5

    The exit code is 1 when anything leaked, was booked twice or lost, or did not recover.
    """
    if list_:
        print_list()
        return
    if unknown := sorted(set(points) - POINTS.keys()):
        raise click.BadParameter(f"{', '.join(unknown)}: `hack/chaos --list` has the names", param_hint="--point")
    chosen = [point for point in POINTS if not points or point in points]
    wanted = [mode for mode in MODES if not modes or mode in modes]
    seeds = range(seed, seed + rounds)
    plans = [plan for one in seeds for plan in quick(chosen, wanted, one)] if quick_ else full(chosen, wanted, seeds)
    zygote = _zygote()
    print(f"{len(plans)} cells, {jobs} at once; imports took {time.monotonic() - BEGAN:.1f} s", file=sys.stderr)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=FOLDER))
    progress = Progress(len(plans))
    try:
        results = play(plans, folder, jobs, zygote, progress.add, keep=keep)
    finally:
        zygote.stop()
    if all(one.well for one in results) and not keep:
        shutil.rmtree(folder)
    print(table(results))
    if wrong := failures(results):
        print(f"\n{wrong}")
    if path := os.environ.get("CHAOS_JSON"):
        write_json(Path(path), results)
    if len(results) < len(plans):
        print(f"\ninterrupted: {len(plans) - len(results)} of {len(plans)} cells were not played")
    sys.exit(len(results) < len(plans) or not all(one.well for one in results))


def print_list() -> None:
    """Points and modes with a line each."""
    width = max(map(len, [*POINTS, *MODES]))
    for point, meaning in POINTS.items():
        click.echo(f"{point.ljust(width)}  {meaning}")
    click.echo("\nmodes:")
    for mode in MODES.values():
        click.echo(f"{mode.name.ljust(width)}  {mode.meaning}")


def _zygote() -> Zygote:
    """With everything imported that a driver process will need."""
    for group in ("partita.backends", "partita.sharing", "partita.validators"):
        for name in registry.names(group):
            registry.load(group, name)
    learn_types()
    zygote = Zygote()
    zygote.start()
    return zygote


if __name__ == "__main__":
    main(prog_name="hack/chaos")
