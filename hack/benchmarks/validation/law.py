"""Where a budget covers a part of the memory: the chance of finding a fault is the coverage that is reported.

And looks while idle, each of which goes on where the last one ended, together cover all of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

import numpy as np
from hack.benchmarks.validation.paced import WHOLE_SECONDS, Paced
from hack.benchmarks.validation.planted import stuck_bit
from hack.benchmarks.validation.rig import AMPLE_SECONDS, Rig

from partita_plugins.contracts import Depth

CONFIDENCE = 0.99
IDLE_LOOKS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What looks at part of the memory found of as many faults, one at a time."""

    faults: int
    found: int
    coverage: float
    """Mean of what was reported."""

    @property
    def interval(self) -> tuple[int, int]:
        """Fewest and most that are found with a chance of CONFIDENCE, if the chance of each is the coverage."""
        return binomial_interval(self.faults, self.coverage, CONFIDENCE)

    @property
    def holds(self) -> bool:
        fewest, most = self.interval
        return fewest <= self.found <= most


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Looks one after the other, each where the last one ended, until all of the memory was covered."""

    looks: int
    reported: float
    """Coverage that they told, added up."""

    covered: float
    """Share of the words that went through all phases of a look."""


def false_alarms(rig: Rig, share: float, seeds: Iterable[int]) -> int:
    """How many looks at a sound device find something: full ones, such as have time for that share, and quick ones."""
    budgets = ((Depth.FULL, AMPLE_SECONDS), (Depth.FULL, share * WHOLE_SECONDS), (Depth.QUICK, AMPLE_SECONDS))
    alarms = 0
    for seed, (depth, budget_seconds) in zip(seeds, itertools.cycle(budgets), strict=False):
        device = rig.device(rig.kernels, Paced)
        begin = Random(seed).random()
        result = rig.validate(device, seed, depth=depth, begin=begin, budget_seconds=budget_seconds, clock=device.clock)
        alarms += not result.passed
    return alarms


def law(rig: Rig, depth: Depth, share: float, seeds: Iterable[int]) -> Law:
    """For each seed a stuck bit anywhere, and a look that begins anywhere and has time for that share of the memory.

    A quick look takes less of it than that.
    """
    found, coverage = [], []
    for seed in seeds:
        random = Random(seed)
        with rig.broken(stuck_bit(random, rig.part)):
            device = rig.device(rig.kernels, Paced)
            result = rig.validate(
                device,
                seed,
                depth=depth,
                begin=random.random(),
                budget_seconds=share * WHOLE_SECONDS,
                clock=device.clock,
            )
        found.append(not result.passed)
        coverage.append(result.memory_coverage)
    return Law(faults=len(found), found=sum(found), coverage=sum(coverage) / len(coverage))


def idle(rig: Rig, share: float, seed: int) -> Idle:
    """A sound device while idle, with time for that share of the memory at each look."""
    covered = np.zeros(rig.words, dtype=bool)
    looks, reported, begin = 0, 0.0, 0.0
    while not covered.all() and looks < IDLE_LOOKS_MAX:
        device = rig.device(rig.kernels, Paced)
        result = rig.validate(
            device, seed + looks, begin=begin, budget_seconds=share * WHOLE_SECONDS, clock=device.clock
        )
        covered |= device.covered
        begin = result.memory_end  # as the driver keeps it from look to look
        looks, reported = looks + 1, reported + result.memory_coverage
    return Idle(looks=looks, reported=reported, covered=float(covered.mean()))


def binomial_interval(count: int, chance: float, confidence: float) -> tuple[int, int]:
    """The central interval of a binomial distribution: what lies on either side of it is no likelier than half of the
    rest.
    """
    if not 0.0 < chance < 1.0:
        return (round(count * chance),) * 2
    tail = (1.0 - confidence) / 2
    low = _smallest(count, chance, tail)
    high = count - _smallest(count, 1.0 - chance, tail)
    return low, high


def _smallest(count: int, chance: float, tail: float) -> int:
    """The smallest number up to which the distribution has more than `tail`."""
    total = 0.0
    for number in range(count + 1):
        total += math.exp(
            math.lgamma(count + 1)
            - math.lgamma(number + 1)
            - math.lgamma(count - number + 1)
            + number * math.log(chance)
            + (count - number) * math.log1p(-chance)
        )
        if total > tail:
            return number
    return count
