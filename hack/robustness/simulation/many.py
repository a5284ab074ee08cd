"""Many seeds on all cores, and the first of them that fails."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hack.robustness.simulation.hardware import Devices
from hack.robustness.simulation.run import Result, run

SEEDS_AT_ONCE = 10
"""Of one task for a worker process."""

MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


@dataclass(slots=True)
class Total:
    """What came of all seeds so far."""

    seeds: int = 0
    checks: int = 0
    coverage: Counter[str] = field(default_factory=Counter)
    first_failure: Result | None = None

    def add(self, results: Sequence[Result]) -> None:
        for result in results:
            self.seeds += 1
            self.checks += result.checks
            self.coverage.update(result.coverage)
            if result.invariant and (self.first_failure is None or result.seed < self.first_failure.seed):
                self.first_failure = result


@contextmanager
def workplace() -> Iterator[tuple[Path, Devices]]:
    """A folder for runs, in memory where there is such a disk, and the device nodes that they share."""
    where = MEMORY_DISK if os.access(MEMORY_DISK, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="partita-simulation-", dir=where) as folder:
        yield Path(folder), Devices(Path(folder) / "dev")


def run_range(first: int, count: int) -> list[Result]:
    """Consecutive seeds, up to the first failure."""
    results: list[Result] = []
    with workplace() as (folder, devices):
        for seed in range(first, first + count):
            results.append(run(seed, folder, devices))
            if results[-1].invariant:
                break
    return results


def run_all(first: int, count: int, jobs: int, on_progress: Callable[[Total], None]) -> Total:
    """All seeds, or all before the first that fails. `on_progress` hears after every few."""
    total = Total()
    starts = iter(range(first, first + count, SEEDS_AT_ONCE))
    running: dict[Future[list[Result]], int] = {}
    with ProcessPoolExecutor(jobs) as pool:
        while True:
            while total.first_failure is None and len(running) < 2 * jobs and (start := next(starts, None)) is not None:
                running[pool.submit(run_range, start, min(SEEDS_AT_ONCE, first + count - start))] = start
            if not running:
                return total
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                del running[future]
                total.add(future.result())
            on_progress(total)
