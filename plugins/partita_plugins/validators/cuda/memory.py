"""Memory: as much as the budget allows, run by run, each filled and checked with the pattern and its complement.

What went through all four counts, also when the look ends there. Then all of it is read once more, which a part of the
budget is kept for: what was written later must not have changed what was written before, wherever it landed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from partita_plugins.validators.cuda.budget import Budget
from partita_plugins.validators.cuda.compute import judged
from partita_plugins.validators.cuda.port import Device
from partita_plugins.validators.cuda.report import ReportBuffer
from partita_plugins.validators.findings import wrong_word
from partita_plugins.validators.words import Run

KERNEL_SECONDS = 0.004
"""What a kernel is sized for: others get their turn, and giving up takes no longer."""

WRITING_SHARE = 0.8
"""Of the budget, for the four phases; the fifth is that all is read once more."""

GROWTH_MAX = 4.0
THREADS = 256
BLOCKS_PER_MULTIPROCESSOR = 8
WORD = 4
QUAD = 4
"""Kernels take words by so many."""

INVERTED = (0, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class MemoryLook:
    """What a look at memory found, and how far it came."""

    findings: tuple[str, ...]
    covered_bytes: int


class MemoryCheck:
    """Fill and check of one allocation."""

    def __init__(
        self, device: Device, report: ReportBuffer, pointer: int, size_bytes: int, *, seed: int, first_bytes: int
    ) -> None:
        """`first_bytes` is a run before it is known how fast the device is. Room for the report was taken first."""
        self._device, self._pointer, self._seed = device, pointer, seed
        self._first_words = first_bytes // WORD
        self._words = size_bytes // WORD // QUAD * QUAD
        self._report = report
        self._grid = BLOCKS_PER_MULTIPROCESSOR * device.facts.multiprocessors

    def look(self, begin: float, budget: Budget, findings_max: int) -> MemoryLook:
        """Go from `begin`, a share of the allocation, on and around its end, until the budget is over."""
        findings: list[str] = []
        done: list[Run] = []
        sizing = Sizing(self._first_words)
        first = int(begin % 1.0 * self._words) // QUAD * QUAD
        writing = budget.share(WRITING_SHARE)
        while (run := self._next(first, done, sizing.words)) and not writing.over():
            if not self._passes(run, sizing, writing):
                break
            done.append(run)
            findings += self._judged(2 * run.count)
            if len(findings) >= findings_max:
                # Enough is known, and memory that is wrong everywhere is slow to count.
                break
        self._report.reset()  # a run that the budget cut may have been counted
        for run in done:
            if budget.over() or len(findings) >= findings_max:
                break
            self._launch("check", run, INVERTED[-1])
            findings += self._judged(run.count)
        covered = sum(run.count for run in done) * WORD
        return MemoryLook(tuple(dict.fromkeys(findings))[:findings_max], covered)

    def _next(self, first: int, done: list[Run], words: int) -> Run | None:
        """The run after those that are done; None where that is where they began."""
        covered = sum(run.count for run in done)
        at = (first + covered) % self._words if self._words else 0
        count = min(words, self._words - covered, self._words - at)
        return Run(at, count) if count > 0 else None

    def _passes(self, run: Run, sizing: Sizing, budget: Budget) -> bool:
        """All four phases; False where the budget ended between two of them."""
        self._report.reset()
        for inverted in INVERTED:
            for kernel in ("fill", "check"):
                if budget.over():
                    return False
                began = budget.clock()
                self._launch(kernel, run, inverted)
                self._device.wait()
                sizing.took(run.count, budget.clock() - began)
        return True

    def _launch(self, kernel: str, run: Run, inverted: int) -> None:
        arguments = (
            np.uint64(self._pointer + run.first * WORD),
            np.uint64(run.first),
            np.uint64(run.count),
            np.uint32(self._seed),
            np.uint32(inverted),
        )
        report = (self._report.pointer,) if kernel == "check" else ()
        self._device.launch(kernel, self._grid, THREADS, (*arguments, *report))

    def _judged(self, count: int) -> Iterator[str]:
        found = self._report.read()
        self._report.reset()
        yield from (
            wrong_word(one.place, one.got, one.expected) for one in sorted(found.kept, key=lambda one: one.place)
        )
        if found.checked != count:
            yield from judged("memory check", found, count)


class Sizing:
    """How many words a run has, so that its kernels take what they should."""

    def __init__(self, words: int) -> None:
        self.words = words

    def took(self, words: int, seconds: float) -> None:
        """A kernel over so many words took that long. A run that had to be smaller tells only if it was slow."""
        if words < self.words and seconds < KERNEL_SECONDS:
            return
        wanted = words * min(KERNEL_SECONDS / max(seconds, 1e-6), GROWTH_MAX)
        self.words = max(QUAD, int(wanted) // QUAD * QUAD)
