"""The reference validator: the whole algorithm in NumPy, on memory that this process can open.

It defines what a validator has to find. On the simulated backend the memory and its planted faults are real; the
arithmetic is the host's, with operands and results kept in the device's memory.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial

from partita_plugins.contracts import Depth, DeviceMemory, Look, MemoryBackend, ValidationResult, ValidationTarget
from partita_plugins.errors import InvalidInput
from partita_plugins.validators.checks import WORDS_OF_CHECK, check_compute, check_copy, check_figures
from partita_plugins.validators.memory_pass import MemoryReport, all_runs, check_memory, sample_runs

FINDINGS_MAX = 8
"""Findings in one result: enough to see a pattern, few enough for an event."""

QUICK_SECONDS_MAX = 0.08
BUDGET_OF_DEADLINE = 0.9
"""The rest is for the arithmetic, which takes milliseconds, and for the caller."""


class ReferenceValidator:
    """Validator over a MemoryBackend. Keeps nothing between calls: any number of devices may be validated at once."""

    name = "reference"

    def __init__(
        self, backend: MemoryBackend, *, clock: Callable[[], float] = time.monotonic, seed: int = 0x5EED
    ) -> None:
        """Raises InvalidInput for a backend of real GPUs: their memory is not for this process to open."""
        if not isinstance(backend, MemoryBackend):
            raise InvalidInput(
                "the reference validator computes on simulated GPUs alone", advice="give --validator none"
            )
        self._backend = backend
        self._clock = clock
        self._seed = seed

    def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
        """Figures and arithmetic always; memory by sample (QUICK) or as much as fits into the deadline (FULL).

        Raises BackendError if the device cannot be opened or is lost meanwhile.
        """
        began = self._clock()
        memory = self._backend.open_memory(target.gpu.uuid, target.instance)
        report = self._memory(memory, look, began)
        # The plainest findings first: a wrong word explains a wrong product, not the other way round.
        findings = [*check_figures(memory, target), *report.findings, *self._compute(memory)]
        return ValidationResult(
            method=self.name,
            depth=look.depth,
            seconds=self._clock() - began,
            findings=tuple(findings[:FINDINGS_MAX]),
            memory_begin=report.begin,
            memory_coverage=report.coverage,
        )

    def validate_peers(self, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
        """Words of one device's memory, copied to every other's. Raises BackendError as `validate` does."""
        began = self._clock()
        memories = [self._backend.open_memory(target.gpu.uuid, target.instance) for target in targets]
        findings = [
            f"{targets[one].gpu.uuid} to {targets[other].gpu.uuid}: {finding}"
            for one, other in itertools.permutations(range(len(targets)), 2)
            for finding in check_copy(
                memories[one],
                memories[other],
                partial(self._backend.across, targets[one].gpu.uuid, targets[other].gpu.uuid),
                self._seed,
            )
        ]
        return ValidationResult(
            method=self.name,
            depth=look.depth,
            seconds=self._clock() - began,
            findings=tuple(findings[:FINDINGS_MAX]),
        )

    def _compute(self, memory: DeviceMemory) -> list[str]:
        """Twice, with different numbers at both ends of the memory."""
        if memory.words < WORDS_OF_CHECK:
            return [f"the device backs {memory.words} words, too few to compute on: {WORDS_OF_CHECK} are needed"]
        ends = ((self._seed, 0), (~self._seed & 0xFFFFFFFF, memory.words - WORDS_OF_CHECK))
        return [finding for seed, offset in ends for finding in check_compute(memory, seed, offset)]

    def _memory(self, memory: DeviceMemory, look: Look, began: float) -> MemoryReport:
        quick = look.depth is Depth.QUICK
        budget = look.deadline_seconds * BUDGET_OF_DEADLINE
        runs = sample_runs(memory.words) if quick else all_runs(memory.words)
        first = int(look.begin * len(runs))
        seconds = min(budget, QUICK_SECONDS_MAX) if quick else budget
        start = self._clock()
        span = max(began + seconds - start, 1e-9)

        def left() -> float:
            return 0.0 if look.given_up() else 1 - (self._clock() - start) / span

        return check_memory(memory, runs[first:] + runs[:first], self._seed, left, FINDINGS_MAX)
