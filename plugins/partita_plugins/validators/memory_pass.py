"""Memory: filled with a known pattern and read back, twice, the second time with every bit the other way round.

All of a pass is written before any of it is read, so a word that answers at two addresses shows itself too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from partita_plugins.contracts import DeviceMemory
from partita_plugins.validators.answers import Words, pattern
from partita_plugins.validators.findings import wrong_word
from partita_plugins.validators.words import Run

BLOCK_WORDS = 2**16
SAMPLE_BLOCKS, SAMPLE_WORDS = 64, 64
"""What a quick look takes: so many short runs, spread evenly."""


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """What a memory check found and how far it came."""

    findings: tuple[str, ...]
    coverage: float
    """Share of all words that both patterns were written to and read back from."""

    begin: float
    """Where that began, as a share of all words."""


def sample_runs(words: int) -> list[Run]:
    """Runs spread evenly, the first and the last words among them."""
    count = min(SAMPLE_WORDS, words)
    starts = np.linspace(0, words - count, num=min(SAMPLE_BLOCKS, words // count)).astype(int)
    return [Run(int(start), count) for start in starts]


def all_runs(words: int) -> list[Run]:
    """Every word, in blocks."""
    return [Run(first, min(BLOCK_WORDS, words - first)) for first in range(0, words, BLOCK_WORDS)]


def check_memory(
    memory: DeviceMemory, runs: list[Run], seed: int, left: Callable[[], float], findings_max: int
) -> MemoryReport:
    """Check runs in order, as many as the budget allows: `left` is the share of it that is left, 1 to 0.

    Four phases of equal cost (fill and check, for both patterns) each may use a quarter. A phase that is late cuts the
    runs for those after it, and only what went through all four counts as covered.
    """
    findings: list[str] = []
    begin = runs[0].first / memory.words if runs else 0.0
    for number, (fill, inverted) in enumerate(((True, 0), (False, 0), (True, 0xFFFFFFFF), (False, 0xFFFFFFFF))):
        done = 0
        for run in runs:
            if left() < 0.25 * (3 - number):
                break
            done += 1
            expected = pattern(seed, run.first, run.count) ^ np.uint32(inverted)
            if fill:
                memory.write(run.first, expected)
            else:
                found = list(_differences(run.first, memory.read(run.first, run.count), expected, findings_max))
                findings += found[: max(0, findings_max - len(findings))]
        runs = runs[:done]
    return MemoryReport(tuple(findings), sum(run.count for run in runs) / memory.words, begin)


def _differences(first: int, got: Words, expected: Words, findings_max: int) -> Iterator[str]:
    for index in np.flatnonzero(got != expected)[:findings_max]:
        yield wrong_word(first + int(index), int(got[index]), int(expected[index]))
