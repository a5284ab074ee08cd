"""What a process holds: memory, file descriptors and threads, as /proc tells; and whether it stays so."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
SAMPLES_AT_EACH_END = 0.1
"""Share of the samples whose median stands for the start, and for the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """One look at a process."""

    cycles: int
    """Done before it."""

    rss_mib: float
    fds: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a process may grow and count as flat."""

    rss_mib: float
    """At once, for what caches and the allocator take."""

    rss_mib_per_1000_cycles: float
    """On top of it."""

    fds: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Where a process started, where it ended, and how its memory went."""

    start: Vitals
    end: Vitals
    rss_mib_per_1000_cycles: float
    """Slope of the line that fits all samples best."""

    def grown(self, bounds: Bounds) -> list[str]:
        """What has grown by more than its bound, in words; empty: flat."""
        cycles = self.end.cycles - self.start.cycles
        memory = bounds.rss_mib + bounds.rss_mib_per_1000_cycles * cycles / 1000
        rows = (
            ("MiB of memory", self.end.rss_mib - self.start.rss_mib, memory),
            ("file descriptors", self.end.fds - self.start.fds, bounds.fds),
            ("threads", self.end.threads - self.start.threads, bounds.threads),
        )
        return [f"{grown:g} more {what}, {most:g} are allowed" for what, grown, most in rows if grown > most]


def look(pid: int, cycles: int) -> Vitals:
    """A process now. Raises FileNotFoundError if it is gone."""
    folder = Path("/proc", str(pid))
    status = dict(line.split(":", 1) for line in (folder / "status").read_text(encoding="ascii").splitlines())
    return Vitals(
        cycles=cycles,
        rss_mib=int(status["VmRSS"].split()[0]) * 1024 / MIB,
        fds=len(list((folder / "fd").iterdir())),
        threads=int(status["Threads"]),
    )


def cpu_seconds(pid: int) -> float:
    """What a process has spent so far, in its own code and the kernel's. Raises FileNotFoundError if it is gone."""
    fields = Path("/proc", str(pid), "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drift(samples: Sequence[Vitals]) -> Drift:
    """What became of a process over its samples, at least two."""
    count = max(1, int(len(samples) * SAMPLES_AT_EACH_END))
    slope, _ = statistics.linear_regression([one.cycles for one in samples], [one.rss_mib for one in samples])
    return Drift(start=_middle(samples[:count]), end=_middle(samples[-count:]), rss_mib_per_1000_cycles=slope * 1000)


def _middle(samples: Sequence[Vitals]) -> Vitals:
    return Vitals(
        cycles=statistics.median_low([one.cycles for one in samples]),
        rss_mib=statistics.median_low([one.rss_mib for one in samples]),
        fds=statistics.median_low([one.fds for one in samples]),
        threads=statistics.median_low([one.threads for one in samples]),
    )
