"""After a power loss: what was fsynced is there, what was not may be old, new or torn."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from hack.robustness.power_loss import Recorder, lose_power
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_driver.journal.records import JournalState
from partita_driver.journal.store import Journal

NAMES = ("a", "b", "c")
ABSENT = b"absent"


@dataclass
class Disk:
    """A folder, and what each name may hold after a power loss: a model, told of the same steps."""

    root: Path
    possible: dict[str, set[bytes]] = field(default_factory=lambda: {name: {ABSENT} for name in NAMES})
    """Contents that each name has had since it was last certain."""

    content_synced: set[str] = field(default_factory=set)
    entry_synced: set[str] = field(default_factory=lambda: set(NAMES))
    linked: set[str] = field(default_factory=set)
    """Names that were renamed since the folder was synced: an old entry may lead to what is written under a new one."""

    def content(self, name: str) -> bytes:
        path = self.root / name
        return path.read_bytes() if path.exists() else ABSENT

    def write(self, name: str, data: bytes) -> None:
        if not (self.root / name).exists():
            self.entry_synced.discard(name)
        (self.root / name).write_bytes(data)
        self.content_synced.discard(name)
        torn = [data[:n] for n in range(len(data) + 1)]
        for one in {name} | (self.linked if name in self.linked else set()):
            self.possible[one] |= {*torn, *(part.ljust(len(data), b"\0") for part in torn)}

    def sync_file(self, name: str) -> None:
        if (self.root / name).exists():
            sync(self.root / name)
            self.content_synced.add(name)
            self._settle()

    def sync_folder(self) -> None:
        sync(self.root)
        self.entry_synced, self.linked = set(NAMES), set()
        self._settle()

    def rename(self, name: str, other: str) -> None:
        if name != other and (self.root / name).exists():
            (self.root / name).replace(self.root / other)
            self.possible[other] |= self.possible[name]
            self.possible[name] |= {ABSENT}
            moved = {other} if name in self.content_synced else set()
            self.content_synced = (self.content_synced - {other, name}) | moved
            self.entry_synced -= {name, other}
            self.linked |= {name, other}

    def remove(self, name: str) -> None:
        if (self.root / name).exists():
            (self.root / name).unlink()
            self.possible[name] |= {ABSENT}
            self.content_synced.discard(name)
            self.entry_synced.discard(name)

    def _settle(self) -> None:
        for name in self.entry_synced:
            if name in self.content_synced or not (self.root / name).exists():
                self.possible[name] = {self.content(name)}


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.binary(min_size=1, max_size=4)),
    st.tuples(st.sampled_from(["sync_file", "remove"]), st.sampled_from(NAMES)),
    st.tuples(st.just("sync_folder")),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
)


@settings(max_examples=100)
@given(st.lists(STEPS, max_size=12), st.integers(0, 2**32))
def test_what_is_found_is_what_was_synced_or_something_that_was_there_since(
    steps: list[tuple[object, ...]], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (root := Path(folder) / "disk").mkdir()
        disk = Disk(root)
        with Recorder(root, Path(folder) / "shadow").watching():
            for verb, *arguments in steps:
                getattr(disk, str(verb))(*arguments)
        certain = {name: next(iter(seen)) for name, seen in disk.possible.items() if len(seen) == 1}
        lose_power(root, Path(folder) / "shadow", Random(seed))
        assert {name: disk.content(name) for name in certain} == certain
        assert all(disk.content(name) in disk.possible[name] for name in NAMES)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    (root := tmp_path / "disk").mkdir()
    recorder = Recorder(root, tmp_path / "shadow")
    with recorder.watching():
        yield root


def found_after_loss(disk: Path, folder: Path) -> set[bytes]:
    """What "a" may be after a power loss: each seed on a copy of its own."""
    found = set()
    for seed in range(20):
        root = folder / f"copy-{seed}"
        root.mkdir()
        for path in disk.iterdir():
            os.link(path, root / path.name)
        lose_power(root, disk.parent / "shadow", Random(seed))
        found.add((root / "a").read_bytes() if (root / "a").exists() else ABSENT)
    return found


def test_a_file_that_was_never_synced_may_be_anything(disk: Path, tmp_path: Path) -> None:
    (disk / "a").write_bytes(b"new")
    assert found_after_loss(disk, tmp_path) > {ABSENT, b"new"}


def test_a_synced_file_in_a_folder_that_was_not_is_whole_or_gone(disk: Path, tmp_path: Path) -> None:
    (disk / "a").write_bytes(b"new")
    sync(disk / "a")
    assert found_after_loss(disk, tmp_path) == {ABSENT, b"new"}


def test_a_synced_file_in_a_synced_folder_stays(disk: Path) -> None:
    (disk / "a").write_bytes(b"new")
    sync(disk / "a")
    sync(disk)
    lose_power(disk, disk.parent / "shadow", Random(1))
    assert (disk / "a").read_bytes() == b"new"


@pytest.mark.parametrize("seed", range(10))
def test_the_journal_keeps_what_it_has_confirmed(disk: Path, seed: int) -> None:
    journal = Journal(disk / "journal", boot_id="boot")
    for number in range(3):
        journal.change(lambda _, n=number: JournalState(slots={"gpu": n}))  # type: ignore[misc]
    lose_power(disk, disk.parent / "shadow", Random(seed))
    assert Journal(disk / "journal", boot_id="boot").state.slots == {"gpu": 2}
