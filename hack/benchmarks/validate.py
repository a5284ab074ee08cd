"""What a validation finds of planted faults, beside what the field does; what coverage means; false alarms."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import click
from hack.benchmarks.figures import print_rows
from hack.benchmarks.validation.baselines import Outcome
from hack.benchmarks.validation.law import CONFIDENCE, Idle, Law, idle, law
from hack.benchmarks.validation.planted import CLASSES, place_of
from hack.benchmarks.validation.rig import METHODS, PARTITA, Rig, rig

from partita_plugins.backends import catalog
from partita_plugins.contracts import Depth

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
bench validate-sound  looks at a sound GPU: every one that finds something is a false alarm

The exit code is 1 where partita misses a fault, the law does not hold, memory is not covered, or there is an alarm. A
memory of megabytes flatters vector-add: what it touches is some percent of it, and a hundred-thousandth of a real one.

\b
Examples:
  hack/bench validate
  hack/bench validate --faults 100 --law-faults 0 --sound-runs 0 --seed 7 --json
"""
WORDS_A_MIB = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One fault, and what each method made of it."""

    fault: str
    place: str
    seed: int
    outcomes: dict[str, Outcome]


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
    with rig(machine, words) as looked_at:
        found = list(_planted(looked_at, names or tuple(CLASSES), faults, seed))
        print_rows(_rows(found) if as_json else _table(found), as_json=as_json)
        wrong += [f"{one.fault} ({one.place}) was missed" for one in found if not one.outcomes[PARTITA].found]
        if sound_runs:
            alarms = _alarms(looked_at, sound_runs, seed)
            print_rows([{"bench": "validate-sound", "runs": sound_runs, "false_alarms": alarms}], as_json=as_json)
            wrong += [f"{alarms} of {sound_runs} looks at a sound GPU found something"] * bool(alarms)
    if law_faults:
        with rig(machine, words, rounds=0) as looked_at:
            wrong += _judge(looked_at, budget_share, law_faults, seed, as_json=as_json)
    if wrong:
        raise click.ClickException("; ".join(wrong))


def _planted(looked_at: Rig, names: Sequence[str], count: int, seed: int) -> Iterator[Planted]:
    random = Random(seed)
    wanted = [(name, random.getrandbits(32)) for _ in range(count) for name in names]
    with click.progressbar(wanted, file=sys.stderr, item_show_func=lambda one: one[0] if one else "") as bar:
        for name, own in bar:
            fault = CLASSES[name](Random(own), looked_at.part)
            with looked_at.broken(fault):
                outcomes = {method: looked_at.look(method, own) for method in METHODS}
            yield Planted(fault=name, place=place_of(fault), seed=own, outcomes=outcomes)


def _rows(found: Sequence[Planted]) -> list[dict[str, object]]:
    return [
        {
            "bench": "validate",
            "fault": one.fault,
            "method": method,
            "found": outcome.found,
            "coverage": round(outcome.coverage, 4),
            "place": one.place,
            "seed": one.seed,
        }
        for one in found
        for method, outcome in one.outcomes.items()
    ]


def _table(found: Sequence[Planted]) -> list[dict[str, object]]:
    """Found of planted, by class and method."""
    rows = []
    for name in dict.fromkeys(one.fault for one in found):
        outcomes = [one.outcomes for one in found if one.fault == name]
        counts = {method: sum(each[method].found for each in outcomes) for method in METHODS}
        rows.append({"fault": name, "planted": len(outcomes), **counts})
    return rows


def _alarms(looked_at: Rig, runs: int, seed: int) -> int:
    with click.progressbar(range(runs), file=sys.stderr, label="sound") as bar:
        return sum(looked_at.look(PARTITA, seed + number).found for number in bar)


def _judge(looked_at: Rig, share: float, faults: int, seed: int, *, as_json: bool) -> list[str]:
    """Print law and idle looks. What is wrong with them."""
    laws: dict[Depth, Law] = {}
    for depth in (Depth.FULL, Depth.QUICK):
        with click.progressbar(range(seed, seed + faults), file=sys.stderr, label=f"law, {depth}") as bar:
            laws[depth] = law(looked_at, depth, share, bar)
    print_rows([_law_row(found, depth, share) for depth, found in laws.items()], as_json=as_json)
    whole = idle(looked_at, share, seed)
    print_rows([_idle_row(whole, share)], as_json=as_json)
    wrong = [
        "{} of {} faults were found, {} to {} should have been".format(found.found, faults, *found.interval)
        for found in laws.values()
        if not found.holds
    ]
    uncovered = [f"{1 - whole.covered:.1%} of the memory was not covered in {whole.looks} looks while idle"]
    return wrong + uncovered * (whole.covered < 1)


def _law_row(found: Law, depth: Depth, share: float) -> dict[str, object]:
    fewest, most = found.interval
    return {
        "bench": "validate-law",
        "depth": depth.value,
        "budget_share": share,
        "faults": found.faults,
        "coverage": round(found.coverage, 4),
        "found_share": round(found.found / found.faults, 4),
        "interval_low": round(fewest / found.faults, 4),
        "interval_high": round(most / found.faults, 4),
        "holds": found.holds,
    }


def _idle_row(found: Idle, share: float) -> dict[str, object]:
    return {
        "bench": "validate-idle",
        "budget_share": share,
        "looks": found.looks,
        "reported_coverage": round(found.reported, 4),
        "covered": round(found.covered, 4),
    }
