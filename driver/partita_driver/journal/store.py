"""The journal: what the driver intends and has done, on disk before the hardware is touched.

Two copies, each whole, checksummed and numbered. A change is written to temporary files, made durable, renamed over
both copies, and the folder made durable: a kill or a power loss at any point leaves at least one copy intact, and the
newest intact one wins. Changes that arrive together share one write.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path

import structlog

from partita_driver.fault_points import reached
from partita_driver.journal.records import (
    JOURNAL_BYTES_MAX,
    Damaged,
    JournalState,
    Newer,
    decode_journal,
    encode_journal,
)
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.errors import Retryable

log = structlog.get_logger(__name__)

COPIES = ("journal.a", "journal.b")
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
DAMAGED_MAX = 8
"""Files set aside; older ones make room."""

Change = Callable[[JournalState], JournalState]


class Durability(Enum):
    """What a change of the journal promises."""

    REQUIRED = "required"
    """On disk when the call returns; if that fails, nothing has changed and Retryable is raised."""

    BEST_EFFORT = "best-effort"
    """Changed in any case; on disk now if possible, else with the next write."""

    LATER = "later"
    """Changed in memory, on disk with the next write: for what a restart can do without."""


class _Entry:
    __slots__ = ("change", "durability", "error", "settled")

    def __init__(self, change: Change, durability: Durability) -> None:
        self.change, self.durability = change, durability
        self.settled, self.error = False, None  # type: bool, BaseException | None


class Journal:
    """Durable state of the driver. Thread-safe; one process at a time owns the folder."""

    def __init__(self, folder: Path, *, boot_id: str, runtime: Runtime = THREADS) -> None:
        """Open a folder, created if need be. Never raises for damage: see `findings`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.boot_id = boot_id
        self._folder = folder
        self._queue: list[_Entry] = []
        self._queue_lock = runtime.lock()
        self._write_lock = runtime.lock()
        self._unwritten = self._closed = False
        self.findings: tuple[str, ...] = ()
        self.rebuilt = False
        """No copy could be read, or only one that is out of date: the engine rebuilds what is missing."""

        self._sequence, self._state = self._open()

    @property
    def state(self) -> JournalState:
        """What is remembered now."""
        return self._state

    @property
    def sequence(self) -> int:
        """Number of the last written change."""
        return self._sequence

    def change(self, change: Change, durability: Durability = Durability.REQUIRED) -> JournalState:
        """Apply a pure change to the newest state, one at a time. What it raises changes nothing and is passed on."""
        entry = _Entry(change, durability)
        with self._queue_lock:
            self._queue.append(entry)
        with self._write_lock:
            if not entry.settled:
                self._commit()
        if entry.error is not None:
            raise entry.error
        return self._state

    def flush(self) -> None:
        """Have on disk whatever was changed so far. Raises Retryable where that fails."""
        self.change(lambda state: state)

    def _commit(self) -> None:
        with self._queue_lock:
            entries, self._queue = self._queue, []
        state = _applied(self._state, entries)
        wanted = [entry for entry in entries if entry.error is None]
        if any(entry.durability is not Durability.LATER for entry in wanted) and (
            state != self._state or self._unwritten
        ):
            try:
                self._write(state)
            except OSError as error:
                self._not_written(error, wanted)
                return
            self._unwritten = False
        elif state != self._state:
            self._unwritten = True
        self._state = state

    def _not_written(self, error: OSError, entries: list[_Entry]) -> None:
        """Changes that must be on disk have failed; the others stand, and are written when that works again."""
        for entry in entries:
            if entry.durability is Durability.REQUIRED:
                entry.error = _unwritable(self._folder, error)
        rest = [entry for entry in entries if entry.error is None]
        self._state = _applied(self._state, rest)
        self._unwritten = self._unwritten or bool(rest)
        log.warning("journal not written", folder=str(self._folder), error=str(error), kept_in_memory=len(rest))

    def close(self) -> None:
        """Write no more: another process may own the folder. What must be durable is refused, as on a full disk."""
        with self._write_lock:
            self._closed = True

    def _write(self, state: JournalState) -> None:
        if self._closed:
            raise OSError(errno.EROFS, "this driver has stopped")
        data = encode_journal(self._sequence + 1, state)
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
        self._sequence += 1

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


def _applied(state: JournalState, entries: list[_Entry]) -> JournalState:
    """The state after all changes that do not refuse; each entry learns its own error."""
    for entry in entries:
        entry.settled, entry.error = True, None
        try:
            state = entry.change(state)
        except Exception as error:  # noqa: BLE001 - passed on to the one who asked for this change
            entry.error = error
    return state


def _read(path: Path) -> bytes:
    if path.stat().st_size > JOURNAL_BYTES_MAX:
        raise Damaged(f"it is larger than {JOURNAL_BYTES_MAX} bytes")
    return path.read_bytes()


def _unwritable(folder: Path, error: OSError) -> Retryable:
    what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
    failed = Retryable(
        f"the journal in {folder} cannot be written: {what}", delay_seconds=5.0, advice=f"free space or repair {folder}"
    )
    failed.__cause__ = error
    return failed


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


def read_boot_id(path: Path = BOOT_ID_FILE) -> str:
    """What tells one boot of this machine from the next."""
    return path.read_text(encoding="ascii").strip()
