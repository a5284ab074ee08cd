"""Which GPUs of one machine a stream of jobs gets, and how fast they reach each other."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations, pairwise, permutations

import click
from hack.benchmarks.figures import print_rows, quantile

from partita_plugins.backends.catalog import names
from partita_plugins.scorers.links import Matrix, Rows, matrix, rows
from partita_plugins.scorers.sets import best_set, sets_of
from partita_plugins.testing.states import node_state

SIZES = (2, 3, 4, 5)
SERVICE = (5, 24)
"""Shortest and longest job, in steps. MAPA's generator draws both evenly."""

Choose = Callable[[Rows, Sequence[int], int], tuple[int, ...]]


def lowest(_links: Rows, free: Sequence[int], size: int) -> tuple[int, ...]:
    """The first free GPUs."""
    return tuple(sorted(free)[:size])


def greedy(links: Rows, free: Sequence[int], size: int) -> tuple[int, ...]:
    """MAPA's greedy: the most bandwidth summed over the hops of the best ring."""
    return max(combinations(sorted(free), size), key=lambda slots: _ring_sum(matrix(links), slots))


def partita(links: Rows, free: Sequence[int], size: int) -> tuple[int, ...]:
    """What the extender's topology scorer likes best, then its leftovers scorer."""
    return best_set(links, free, size).slots


POLICIES: dict[str, Choose] = {"lowest": lowest, "greedy": greedy, "partita": partita}


@dataclass(slots=True)
class Tally:
    """All choices of one size by one policy on one machine."""

    bandwidth: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@click.command(
    help=f"{__doc__} Jobs are MAPA's: 2 to 5 GPUs, all waiting from the start, first come first served. bandwidth is "
    "the weakest hop's in GB/s, of the best ring or tree; best_bandwidth that of the best set of GPUs then free, by "
    "brute force. seconds is the longest choice's CPU: the first one works out the machine's table."
)
@click.option("--machine", "machines", multiple=True, type=click.Choice(names()), help="Repeatable. Default: all.")
@click.option(
    "--policy", "policies", multiple=True, type=click.Choice(list(POLICIES)), help="Repeatable. Default: all."
)
@click.option("--jobs", default=100, show_default=True, type=click.IntRange(1))
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def topology(machines: tuple[str, ...], policies: tuple[str, ...], jobs: int, seeds: int, *, as_json: bool) -> None:
    """Measure and print."""
    found: list[dict[str, object]] = []
    runs = [(name, policy) for name in machines or names() for policy in policies or POLICIES]
    with click.progressbar(runs, file=sys.stderr, item_show_func=lambda run: " ".join(run or ())) as bar:
        for name, policy in bar:
            tallies = _tallies(rows(node_state(name)), POLICIES[policy], jobs, seeds)
            found += [_row(name, policy, size, tally) for size, tally in sorted(tallies.items())]
    print_rows(found, as_json=as_json)


def _row(name: str, policy: str, size: int, tally: Tally) -> dict[str, object]:
    return {
        "bench": "topology",
        "machine": name,
        "gpus": size,
        "policy": policy,
        "bandwidth": round(sum(tally.bandwidth) / len(tally.bandwidth), 3),
        "best_bandwidth": round(sum(tally.best) / len(tally.best), 3),
        "seconds": round(max(tally.seconds), 6),
        "p50_seconds": round(quantile(tally.seconds, 0.5), 6),
    }


def _tallies(links: Rows, choose: Choose, jobs: int, seeds: int) -> dict[int, Tally]:
    tallies: dict[int, Tally] = {}
    sets_of.cache_clear()

    def chosen(free: frozenset[int], size: int) -> tuple[int, ...]:
        begun = time.thread_time()
        slots = choose(links, sorted(free), size)
        elapsed = time.thread_time() - begun
        tally = tallies.setdefault(size, Tally())
        tally.seconds.append(elapsed)
        tally.bandwidth.append(_worth(matrix(links), slots))
        tally.best.append(_best(matrix(links), free, size))
        return slots

    for seed in range(seeds):
        play(random.Random(seed), len(links), jobs, chosen)
    return tallies


def play(draw: random.Random, gpus: int, jobs: int, choose: Callable[[frozenset[int], int], tuple[int, ...]]) -> None:
    """One queue through one machine, step by step; the first job waits until it fits, and all others behind it."""
    waiting = [(min(draw.choice(SIZES), gpus), draw.randint(*SERVICE)) for _ in range(jobs)]
    running: list[tuple[int, tuple[int, ...]]] = []
    free = frozenset(range(gpus))
    step = 0
    while waiting:
        size, service = waiting[0]
        if size <= len(free):
            waiting.pop(0)
            slots = choose(free, size)
            free -= set(slots)
            running.append((step + service, slots))
            continue
        step = min(end for end, _ in running)
        free |= {slot for end, slots in running if end == step for slot in slots}
        running = [(end, slots) for end, slots in running if end > step]


@cache
def _best(gbps: Matrix, free: frozenset[int], size: int) -> float:
    return max(_worth(gbps, slots) for slots in combinations(sorted(free), size))


@cache
def _worth(gbps: Matrix, slots: tuple[int, ...]) -> float:
    """By brute force over all rings, and all speeds at which the set is connected."""
    tree = next(
        speed for speed in sorted({s for row in gbps for s in row}, reverse=True) if _joined(gbps, slots, speed)
    )
    ring = max(min(gbps[a][b] for a, b in hops) for hops in _rings(slots))
    return max(ring, tree * (len(slots) - 1) / len(slots))


def _ring_sum(gbps: Matrix, slots: tuple[int, ...]) -> float:
    return max(sum(gbps[a][b] for a, b in hops) for hops in _rings(slots))


def _rings(slots: tuple[int, ...]) -> Iterator[list[tuple[int, int]]]:
    first, *others = slots
    return (list(pairwise((first, *order, first))) for order in permutations(others))


def _joined(gbps: Matrix, slots: tuple[int, ...], speed: float) -> bool:
    reached = {slots[0]}
    while more := {b for a in reached for b in slots if b not in reached and gbps[a][b] >= speed}:
        reached |= more
    return len(reached) == len(slots)
