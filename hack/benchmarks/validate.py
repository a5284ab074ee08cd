"""What a validation finds of planted faults, beside what the field does; what coverage means; false alarms."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from random import Random

import click
from hack.benchmarks.figures import print_rows
from hack.benchmarks.validation.law import CONFIDENCE, Law, false_alarms, idle, law
from hack.benchmarks.validation.planted import CLASSES, place_of
from hack.benchmarks.validation.rig import METHODS, PARTITA, Rig, rig
from hack.benchmarks.validation.rows import Planted, idle_row, law_row, rows, table

from partita_plugins.backends import catalog
from partita_plugins.contracts import Depth
from partita_plugins.errors import PartitaError

HELP = f"""Plant faults in a simulated GPU, and see which methods find them.

The GPU is the kernels' own source on the CPU, over memory that is really written and read. Method partita is the
validator's plan with all its checks, as its child process runs it. The others are what the field does, on the same GPU:

\b
vector-add  gpu-operator: 50,000 sums of two numbers, compared with a tolerance of 1e-5
isfinite    NVSentinel: 1,024 random numbers are summed up; is the sum a number?
epsilon     gpu-burn: one product over and over in 90% of the memory, each compared with the first within 1e-3

\b
bench validate        a row for each planted fault and method; coverage is the share of memory written and read back
bench validate-law    stuck bits anywhere, and looks that begin anywhere and have time for --budget-share of the memory,
                      or are quick: the share found is the coverage that is told, within an interval of {CONFIDENCE:.0%}
bench validate-idle   such looks one after the other, each where the last one ended, until all memory is covered
bench validate-sound  looks at a sound GPU, full, partial and quick: every one that finds something is a false alarm

The exit code is 1 where partita misses a fault, the law does not hold, memory is not covered, or there is an alarm. A
memory of megabytes flatters vector-add: what it touches is some percent of it, and a hundred-thousandth of a real one.

\b
Examples:
  hack/bench validate
  hack/bench validate --faults 100 --law-faults 0 --sound-runs 0 --seed 7 --json
"""
WORDS_A_MIB = 2**18


@click.command(help=HELP)
@click.option("--faults", default=10, show_default=True, type=click.IntRange(0), help="Of each class.")
@click.option("--fault", "names", multiple=True, type=click.Choice(list(CLASSES)), help="Repeatable. Default: all.")
@click.option("--seed", default=1, show_default=True, help="Of the places, and of what is random in the methods.")
@click.option("--machine", default="hgx-h100", show_default=True, type=click.Choice(catalog.names()))
@click.option("--memory-mib", default=4, show_default=True, type=click.IntRange(2, 1024), help="Behind the GPU.")
@click.option(
    "--budget-share",
    default=0.25,
    show_default=True,
    type=click.FloatRange(0.02, 1, max_open=True),
    help="Of the memory that a look has time for, for the law and while idle.",
)
@click.option("--law-faults", default=1000, show_default=True, type=click.IntRange(0), help="0: neither law nor idle.")
@click.option("--sound-runs", default=200, show_default=True, type=click.IntRange(0), help="Looks at a sound GPU.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def validate(
    *,
    faults: int,
    names: tuple[str, ...],
    seed: int,
    machine: str,
    memory_mib: int,
    budget_share: float,
    law_faults: int,
    sound_runs: int,
    as_json: bool,
) -> None:
    """Measure, print, and judge."""
    words, wrong = memory_mib * WORDS_A_MIB, list[str]()
    try:
        with rig(machine, words) as looked_at:
            wrong += _missed(looked_at, names or tuple(CLASSES), faults, seed, as_json=as_json)
            wrong += _alarms(looked_at, budget_share, sound_runs, seed, as_json=as_json)
        with rig(machine, words, rounds=0) as looked_at:
            wrong += _unlawful(looked_at, budget_share, law_faults, seed, as_json=as_json)
    except PartitaError as error:
        raise click.ClickException(str(error)) from error
    if wrong:
        raise click.ClickException("; ".join(wrong))


def _missed(looked_at: Rig, names: Sequence[str], count: int, seed: int, *, as_json: bool) -> list[str]:
    found = list(_planted(looked_at, names, count, seed))
    print_rows(rows(found) if as_json else table(found), as_json=as_json)
    return [f"{one.fault} ({one.place}) was missed" for one in found if not one.outcomes[PARTITA].found]


def _planted(looked_at: Rig, names: Sequence[str], count: int, seed: int) -> Iterator[Planted]:
    random = Random(seed)
    wanted = [(name, random.getrandbits(32)) for _ in range(count) for name in names]
    with click.progressbar(wanted, file=sys.stderr, item_show_func=lambda one: one[0] if one else "") as bar:
        for name, own in bar:
            fault = CLASSES[name](Random(own), looked_at.part)
            with looked_at.broken(fault):
                outcomes = {method: looked_at.look(method, own) for method in METHODS}
            yield Planted(fault=name, place=place_of(fault), seed=own, outcomes=outcomes)


def _alarms(looked_at: Rig, share: float, runs: int, seed: int, *, as_json: bool) -> list[str]:
    if not runs:
        return []
    with click.progressbar(range(seed, seed + runs), file=sys.stderr, label="sound") as bar:
        alarms = false_alarms(looked_at, share, bar)
    print_rows([{"bench": "validate-sound", "runs": runs, "false_alarms": alarms}], as_json=as_json)
    return [f"{alarms} of {runs} looks at a sound GPU found something"] * bool(alarms)


def _unlawful(looked_at: Rig, share: float, faults: int, seed: int, *, as_json: bool) -> list[str]:
    if not faults:
        return []
    laws: dict[Depth, Law] = {}
    for depth in (Depth.FULL, Depth.QUICK):
        with click.progressbar(range(seed, seed + faults), file=sys.stderr, label=f"law, {depth}") as bar:
            laws[depth] = law(looked_at, depth, share, bar)
    print_rows([law_row(found, depth, share) for depth, found in laws.items()], as_json=as_json)
    whole = idle(looked_at, share, seed)
    print_rows([idle_row(whole, share)], as_json=as_json)
    wrong = [
        "{} of {} faults were found, {} to {} should have been".format(found.found, faults, *found.interval)
        for found in laws.values()
        if not found.holds
    ]
    uncovered = [f"{1 - whole.covered:.1%} of the memory was not covered in {whole.looks} looks while idle"]
    return wrong + uncovered * (whole.covered < 1)
