"""What the benchmarks reckon with: bounds from the hardware's states, and what counts as flat."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hack.benchmarks.plot import write_bars
from hack.benchmarks.prepare import chosen
from hack.benchmarks.vitals import Bounds, Vitals, drift, look
from hack.benchmarks.work import bounds_between

from partita_plugins.backends.simulated import Delays
from partita_plugins.backends.simulated.records import ComputeRecord, GpuRecord, InstanceRecord

PART = re.compile(r'(\w+)="([^"]*)"')
DELAYS = Delays(create_seconds=1.0, destroy_seconds=0.5)
FACTORY = GpuRecord()
BOUNDS = Bounds(rss_mib=1.0, rss_mib_per_1000_cycles=0.5, fds=2, threads=2)


def with_partitions(count: int, first_uuid: int = 0) -> GpuRecord:
    made = tuple(
        InstanceRecord(
            gpu_instance_id=number,
            profile_id=19,
            start=number,
            size=1,
            compute=(ComputeRecord(compute_instance_id=0, mig_uuid=f"MIG-{first_uuid + number}"),),
        )
        for number in range(count)
    )
    return GpuRecord(mig_enabled=True, mig_pending=True, instances=made)


def test_the_parallel_bound_is_the_work_of_the_busiest_gpu_and_the_serial_one_that_of_all() -> None:
    factory, made = {"a": FACTORY, "b": FACTORY}, {"a": with_partitions(7), "b": with_partitions(2)}
    up, down = bounds_between(factory, made, DELAYS), bounds_between(made, factory, DELAYS)
    assert (up.parallel_seconds, up.serial_seconds) == (15.0, 20.0), "a switch of the mode, then two steps each"
    assert (down.parallel_seconds, down.serial_seconds) == (8.0, 11.0), "a switch takes as long as making does"


def test_a_compute_instance_made_anew_is_work_though_its_place_is_the_same() -> None:
    bounds = bounds_between({"a": with_partitions(1)}, {"a": with_partitions(1, first_uuid=9)}, DELAYS)
    assert bounds.parallel_seconds == 1.5


def test_claims_go_to_the_first_gpus_evenly_and_too_many_are_refused_with_the_number_there_is() -> None:
    published = [f"gpu-0000-0{gpu}-00-0-mig-1g-19-{start}" for gpu in range(3) for start in range(7)]
    names = chosen([*published, "gpu-0000-00-00-0"], 5, 2, "1g")
    assert [name.split("-")[2] for name in names] == ["00", "00", "00", "01", "01"]
    with pytest.raises(click.UsageError, match="choose --concurrency 14"):
        chosen(published, 15, 2, "1g")
    with pytest.raises(click.UsageError, match="3 GPUs offer partition 1g"):
        chosen(published, 4, 4, "1g")


def samples(rss_mib: float, per_cycle: float, *, fds: int = 0, threads: int = 0) -> list[Vitals]:
    return [
        Vitals(cycles=n, rss_mib=rss_mib + per_cycle * n, fds=9 + fds * (n > 500), threads=9 + threads * (n > 500))
        for n in range(0, 1001, 100)
    ]


@pytest.mark.parametrize(
    ("seen", "grown"),
    [
        (samples(100, 0.0), []),
        (samples(100, 0.0014), []),
        (samples(100, 0.0016), ["1.6 more MiB of memory, 1.5 are allowed"]),
        (
            samples(100, 0.0, fds=3, threads=4),
            ["3 more file descriptors, 2 are allowed", "4 more threads, 2 are allowed"],
        ),
    ],
)
def test_what_grows_beyond_its_bound_is_named(seen: list[Vitals], grown: list[str]) -> None:
    found = drift(seen)
    assert found.grown(BOUNDS) == grown
    assert found.rss_mib_per_1000_cycles == pytest.approx(seen[-1].rss_mib - seen[0].rss_mib)


GROWS = """
import os, threading
print(flush=True)
input()
os.pipe()
threading.Thread(target=threading.Event().wait, daemon=True).start()
print(flush=True)
input()
"""
"""A process that says when it has begun, and when it has two descriptors and a thread more."""


def test_a_process_is_looked_at_as_it_is() -> None:
    with subprocess.Popen([sys.executable, "-c", GROWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        before = look(process.pid, 0)
        process.stdin.write(b"grow\n")
        process.stdin.flush()
        process.stdout.readline()
        after = look(process.pid, 1)
        process.stdin.close()
    assert (after.fds - before.fds, after.threads - before.threads) == (2, 1)
    assert 1 < after.rss_mib < 10_000


def test_bars_are_as_high_as_their_values(tmp_path: Path) -> None:
    picture = tmp_path / "bars.svg"
    write_bars(picture, {"a": {"ours": 40.0, "theirs": 10.0}, "b": {"ours": 20.0}}, title="t", y="y")
    bars = [
        dict(PART.findall(bar.split(">")[0])) for bar in picture.read_text().split("<rect ") if bar.startswith("x=")
    ]
    heights = [float(bar["height"]) for bar in bars]
    assert [height / heights[0] for height in heights] == pytest.approx([1, 0.25, 0.5], abs=1e-3)
    assert len({float(bar["y"]) + float(bar["height"]) for bar in bars}) == 1, "all stand on one line"
    assert [bar["fill"] == bars[0]["fill"] for bar in bars] == [True, False, True]
