"""hack/bench predict."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import click
import msgspec
from hack.benchmarks.plane import control_plane
from hack.benchmarks.predict.case import Case, is_everywhere
from hack.benchmarks.predict.generate import generate
from hack.benchmarks.predict.model import predict, view
from hack.benchmarks.predict.report import Record, Row, Tally, check, keep, minor_of, table, tell
from hack.benchmarks.predict.server import Batch, CaseRefused, NoAnswer
from hack.realcluster.modules import DEFAULT_VERSION, VERSIONS

from partita_plugins.kube.api import KubeApi
from partita_scheduler.allocator.elsewhere import unsound_pool

HELP = """What the extender predicts against what the real kube-scheduler allocates, device by device.

Random fleets with a history and random claims, all from --seed: etcd, kube-apiserver and kube-scheduler of --version,
and nodes that exist in the API only. Every case has its own node, drivers and claims; hundreds are played at a time.
5,000 cases take about ten minutes on two cores.

\b
cases          pods that kube-scheduler allocated for or refused
disagreements  of them: another device, request, order, consumed capacity or node selector than predicted, or an
               allocation where none was predicted, or the other way round, or an error instead of "unschedulable"
undecided      of the cases: the extender would have had no opinion (too long a search)
coverage       percent of the cases that exercise a part of the allocator; seven of them must reach 15, taint rules 10

\b
Cases that disagree are written to predict-disagreements/. Play one alone with --case; kept under
tests/scheduler/decision/predictions it is a regression case, for which no control plane is needed.
A whole run can be recorded and judged again later: so a change of the model is tried in seconds.

\b
Examples:
  hack/bench predict --cases 5000 --seed 1 --version 1.36
  hack/bench predict --seed 1 --case 4711
  hack/bench predict --cases 1000 --record /tmp/seen.jsonl
  hack/bench predict --replay /tmp/seen.jsonl
"""
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(help=HELP)
@click.option("--cases", default=1000, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--first", default=0, show_default=True, type=click.IntRange(0), help="Number of the first case.")
@click.option("--seed", default=1, show_default=True)
@click.option("--case", "only", type=click.IntRange(0), help="Play this one, print both outcomes, write it down.")
@click.option("--version", default=DEFAULT_VERSION, show_default=True, type=click.Choice(VERSIONS))
@click.option("--batch", default=250, show_default=True, type=click.IntRange(1, 1000), help="Cases at a time.")
@click.option("--record", type=FILE, help="Add every case and its outcome to this file.")
@click.option("--replay", type=FILE, help="Judge a recorded file again instead of playing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def predict_command(
    *,
    cases: int,
    first: int,
    seed: int,
    only: int | None,
    version: str,
    batch: int,
    record: Path | None,
    replay: Path | None,
    as_json: bool,
) -> None:
    """Play and print."""
    if replay is not None:
        tally = judged(read(replay), None)
    else:
        numbers = range(first, first + cases) if only is None else range(only, only + 1)
        with control_plane(version) as api:
            try:
                tally = judged(play(api, numbers, seed=seed, version=version, batch=batch), len(numbers), record)
            except (CaseRefused, NoAnswer) as error:
                raise click.ClickException(str(error)) from error
    for one, predicted in tally.disagree:
        keep(one)
        tell(one, predicted)
    row = tally.finish()
    print(json.dumps(msgspec.to_builtins(row)) if as_json else table(row))
    check(row)


def judged(records: Iterable[Record], total: int | None, write: Path | None = None) -> Tally:
    """Judge as they come. One alone is told and kept whatever comes of it."""
    begun, tally = time.monotonic(), None
    for record in records:
        tally = tally or Tally(Row(version=record.version, seed=record.seed))
        tally.judge(record)
        if write is not None:
            with write.open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
        if total == 1:
            keep(record)
            tell(record, predict(record.case, minor_of(record.version)))
        row = tally.row
        row.seconds = round(time.monotonic() - begun, 1)
        print(f"{row.cases} of {total or '?'}, {row.disagreements} disagree ", end="\r", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if tally is None:
        raise click.UsageError("there are no cases")
    return tally


def read(path: Path) -> Iterator[Record]:
    """What --record wrote."""
    with path.open("rb") as file:
        for line in file:
            yield msgspec.json.decode(line, type=Record)


def play(api: KubeApi, numbers: range, *, seed: int, version: str, batch: int) -> Iterator[Record]:
    """Play cases batch by batch."""
    names = (f"predict-{i}-{time.time_ns() % 10**9}" for i in count())
    for some in batches([generate(seed, number) for number in numbers], batch):
        for case, seen in Batch(api, next(names)).play(some):
            yield Record(version=version, seed=seed, case=case, seen=seen)


def batches(cases: list[Case], size: int) -> Iterator[list[Case]]:
    """Cases that do not meet; last those with an unsound pool of counters, which on 1.36 are everybody's concern."""
    parts: dict[str, list[Case]] = {"sound": [], "unsound": [], "alone": []}
    for case in cases:
        unsound = unsound_pool(view(case, 0).slices) is not None
        parts["alone" if is_everywhere(case) else "unsound" if unsound else "sound"].append(case)
    for name, some in parts.items():
        step = 1 if name == "alone" else size
        for start in range(0, len(some), step):
            yield some[start : start + step]
