"""Golden files in tests/released/<version>/: written once by a release, read by the tests of every later one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from hack.released import contents

from partita_plugins.wire.resource_slice import ResourceSlice

ROOT = Path(__file__).resolve().parents[2] / "tests" / "released"


@dataclass(frozen=True, slots=True)
class Release:
    """What one release wrote."""

    folder: Path

    @property
    def journals(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("journal/*"))}

    @property
    def machines(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("devices/*.txt"))

    def devices(self, machine: str) -> dict[str, str]:
        lines = (self.folder / "devices" / f"{machine}.txt").read_text(encoding="utf-8").splitlines()
        return dict(line.split(" ", maxsplit=1) for line in lines)

    @property
    def sliced(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("slices/*.jsonl"))

    def slices(self, machine: str) -> list[Any]:
        """As plain JSON, one object a slice."""
        return msgspec.json.Decoder().decode_lines((self.folder / "slices" / f"{machine}.jsonl").read_bytes())

    def json(self, name: str) -> Any:
        return msgspec.json.decode((self.folder / f"{name}.json").read_bytes())


def releases() -> dict[str, Release]:
    """Every release with golden files, oldest first."""
    found = [path for path in ROOT.glob("*.*.*") if path.is_dir()]
    ordered = sorted(found, key=lambda path: [int(part) for part in path.name.split(".")])
    return {path.name: Release(path) for path in ordered}


def render() -> Mapping[str, bytes]:
    """All golden files of the present code, by path."""
    files = {f"journal/{name}": copy for name, copy in contents.journals().items()}
    for machine in contents.machines():
        lines = [f"{name} {counters}\n" for name, counters in contents.devices(machine).items()]
        files[f"devices/{machine}.txt"] = "".join(lines).encode()
    predicted = {}
    for machine in contents.SLICED:
        published = contents.slices(machine)
        files[f"slices/{machine}.jsonl"] = msgspec.json.Encoder().encode_lines(published)
        predicted[machine] = contents.predictions(published)
    documents = {"predictions": predicted, "configs": contents.configs()}
    documents |= {f"{name}-reader": schema for name, schema in contents.readers().items()}
    return files | {f"{name}.json": _readable(document) for name, document in documents.items()}


def predict(slices: list[Any]) -> dict[str, list[str]]:
    """What today's extender makes of slices."""
    return contents.predictions(msgspec.convert(slices, list[ResourceSlice]))


def _readable(document: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
