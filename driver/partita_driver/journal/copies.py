"""The journal on disk: two copies, each whole, checksummed and numbered.

A state is written to temporary files, made durable, renamed over both copies, and the folder made durable: a kill or a
power loss at any point leaves at least one copy intact, and the newest intact one wins.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import structlog

from partita_driver.fault_points import reached
from partita_driver.journal.format import JOURNAL_BYTES_MAX, Damaged, Newer, decode_journal, encode_journal
from partita_driver.journal.records import JournalState

log = structlog.get_logger(__name__)

COPIES = ("journal.a", "journal.b")
DAMAGED_MAX = 8
"""Files set aside; older ones make room."""


class Copies:
    """Both copies in a folder that one process at a time owns. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Open a folder, created if need be. Never raises for damage: see `findings`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.findings: tuple[str, ...] = ()
        self.rebuilt = False
        """No copy could be read, or only one that is out of date: the engine rebuilds what is missing."""

        self.sequence, self.found = self._open()
        """Number of the last written change, and the state that was there."""

    def write(self, state: JournalState) -> None:
        """Have a state on disk in both copies. Raises OSError; the old ones stand then."""
        data = encode_journal(self.sequence + 1, state)
        temporaries = [_temporary(self._folder, name) for name in COPIES]
        try:
            first, second = temporaries
            _write_durably(first, data)
            reached("journal-half-written")
            _write_durably(second, data)
            reached("journal-written")
            first.replace(self._folder / COPIES[0])
            reached("journal-half-renamed")
            second.replace(self._folder / COPIES[1])
            reached("journal-renamed")
            _sync_folder(self._folder)
            reached("journal-synced")
        except OSError:
            for path in temporaries:
                path.unlink(missing_ok=True)
            raise
        self.sequence += 1

    def _open(self) -> tuple[int, JournalState]:
        for name in COPIES:
            # What a kill left half-written is nobody's word.
            with suppress(OSError):
                _temporary(self._folder, name).unlink(missing_ok=True)
        intact: list[tuple[int, JournalState]] = []
        damaged = newest = 0
        for name in COPIES:
            path = self._folder / name
            try:
                intact.append(decode_journal(_read(path)))
            except FileNotFoundError:
                continue
            except Newer as error:
                newest = max(newest, error.sequence)
                self._set_aside(path, f"{path.name}.version-{error.version}", f"cannot be read ({error})")
            except (Damaged, OSError) as error:
                damaged += 1
                self._set_aside(path, self._free_name(path), f"is damaged ({error})")
        sequence, state = max(intact, key=lambda copy: copy[0], default=(0, JournalState()))
        # Beside a later copy of a newer release, an older one is out of date.
        self.rebuilt = newest > sequence if intact or newest else damaged > 0
        return max(sequence, newest), state

    def _free_name(self, path: Path) -> str:
        names = [f"{path.name}.damaged-{n}" for n in range(1, DAMAGED_MAX + 1)]
        return next((name for name in names if not (self._folder / name).exists()), names[-1])

    def _set_aside(self, path: Path, name: str, why: str) -> None:
        try:
            path.replace(self._folder / name)
            reached("journal-set-aside")
            done = f"was kept as {name}"
        except OSError as refused:
            done = f"could not be kept under another name: {refused}"
        self.findings += (f"journal copy {path.name} {why} and {done}",)
        log.error("journal copy set aside", copy=path.name, why=why, done=done)


def last_state(folder: Path) -> JournalState:
    """What a driver remembers there, by the newest copy that can be read; nothing is touched, no driver disturbed."""
    intact: list[tuple[int, JournalState]] = []
    for name in COPIES:
        with suppress(OSError, Damaged, Newer):
            intact.append(decode_journal(_read(folder / name)))
    return max(intact, key=lambda copy: copy[0], default=(0, JournalState()))[1]


def _temporary(folder: Path, name: str) -> Path:
    return folder / f".{name}.new"


def _read(path: Path) -> bytes:
    if path.stat().st_size > JOURNAL_BYTES_MAX:
        raise Damaged(f"it is larger than {JOURNAL_BYTES_MAX} bytes")
    return path.read_bytes()


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
