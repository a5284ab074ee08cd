"""What came of the cases: the row that is printed, and disagreements as files to keep."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec
from hack.benchmarks.predict import coverage
from hack.benchmarks.predict.case import Case, Json, Outcome
from hack.benchmarks.predict.model import UNDECIDED, predict

FOUND = Path("predict-disagreements")
METADATA = frozenset({"name", "namespace", "uid", "labels", "creationTimestamp"})
CONTAINER = ("name", "resources", "restartPolicy")
FEW = 100
"""Cases of which nobody expects that they exercise everything."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked and what kube-scheduler did: enough to ask the model again without a control plane."""

    what: str = ""
    """Of a regression case: what was wrong."""

    version: str
    seed: int
    case: Case
    seen: Outcome


class Row(msgspec.Struct, kw_only=True):
    """What --json prints."""

    bench: str = "predict"
    version: str
    seed: int
    cases: int = 0
    disagreements: int = 0
    undecided: int = 0
    seconds: float = 0.0
    coverage: dict[str, float] = {}


@dataclass(slots=True)
class Tally:
    """Cases as they are judged."""

    row: Row
    disagree: list[tuple[Record, Outcome]] = field(default_factory=list)
    _parts: list[set[str]] = field(default_factory=list)

    def judge(self, record: Record) -> None:
        """Ask the model, and compare."""
        minor = minor_of(record.version)
        predicted = predict(record.case, minor)
        self.row.cases += 1
        if predicted.kind == UNDECIDED:
            self.row.undecided += 1
        elif not predicted.agrees(record.seen):
            self.row.disagreements += 1
            self.disagree.append((record, predicted))
        self._parts.append(coverage.parts(record.case, record.seen, minor))

    def finish(self) -> Row:
        self.row.coverage = coverage.percentages(self._parts)
        return self.row


def minor_of(version: str) -> int:
    """36 of "1.36"."""
    return int(version.partition(".")[2])


def check(row: Row) -> None:
    """Raises ClickException where something disagrees, or the cases are not what they should be."""
    if row.disagreements:
        raise click.ClickException(f"{row.disagreements} disagreements, written to {FOUND}/")
    thin = [f"{part} ({least:g}%)" for part, least in coverage.WANTED.items() if row.coverage[part] < least]
    if thin and row.cases >= FEW:
        raise click.ClickException(f"too few of the cases exercise: {', '.join(thin)}")


def keep(record: Record) -> Path:
    """Write a case down to be played again, or kept as a regression case."""
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"{record.version}-{record.seed}-{record.case.number}.json"
    kept = msgspec.structs.replace(record, case=_trimmed(record.case))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    return path


def _trimmed(case: Case) -> Case:
    """Without what the API server adds and the model does not read."""
    spec = case.pod["spec"]
    parts = {name: spec[name] for name in ("resourceClaims", "nodeSelector", "affinity") if name in spec}
    for name in ("initContainers", "containers"):
        parts[name] = [{key: one[key] for key in CONTAINER if key in one} for one in spec.get(name, [])]
    return Case(
        number=case.number,
        node=_lean(case.node),
        slices=[_lean(one) for one in case.slices],
        classes=[_lean(one) for one in case.classes],
        claims=[_lean(one) for one in case.claims],
        pod=_lean({**case.pod, "spec": parts}),
        rules=[_lean(one) for one in case.rules],
    )


def _lean(body: Json) -> Json:
    metadata = {name: value for name, value in body["metadata"].items() if name in METADATA}
    kept = {name: value for name, value in body.items() if name in {"spec", "status"} and value}
    return {"metadata": metadata, **kept}


def tell(record: Record, predicted: Outcome) -> None:
    """Both outcomes, for people."""
    again = f"hack/bench predict --version {record.version} --seed {record.seed} --case {record.case.number}"
    print(f"\n{again}", file=sys.stderr)
    for name, outcome in (("kube-scheduler", record.seen), ("predicted", predicted)):
        print(f"  {name}: {outcome.kind} {outcome.message[:200]}", file=sys.stderr)
        for claim, allocation in outcome.claims.items():
            for result in allocation["results"]:
                print(f"    {claim}: {json.dumps(result)}", file=sys.stderr)


def table(row: Row) -> str:
    head = f"{row.cases} cases on {row.version}, seed {row.seed}: {row.disagreements} disagreements, "
    lines = [f"{head}{row.undecided} undecided, {row.seconds:.0f} s"]
    return "\n".join([*lines, *(f"  {percent:5.1f}%  {part}" for part, percent in row.coverage.items())])
