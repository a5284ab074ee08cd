"""The journal: what the driver intends and has done, on disk before the hardware is touched.

Changes that arrive together share one write.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import structlog

from partita_driver.journal.copies import Copies
from partita_driver.journal.records import JournalState
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.errors import Retryable

log = structlog.get_logger(__name__)

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")

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
        self.boot_id = boot_id
        self._folder, self._copies = folder, Copies(folder)
        self._state = self._copies.found
        self._queue: list[_Entry] = []
        self._queue_lock = runtime.lock()
        self._write_lock = runtime.lock()
        self._unwritten = self._closed = False

    @property
    def findings(self) -> tuple[str, ...]:
        """What was wrong with the copies that were there."""
        return self._copies.findings

    @property
    def rebuilt(self) -> bool:
        """No copy could be read, or only one that is out of date: the engine rebuilds what is missing."""
        return self._copies.rebuilt

    @property
    def state(self) -> JournalState:
        """What is remembered now."""
        return self._state

    @property
    def sequence(self) -> int:
        """Number of the last written change."""
        return self._copies.sequence

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

    def _write(self, state: JournalState) -> None:
        if self._closed:
            raise OSError(errno.EROFS, "this driver has stopped")
        self._copies.write(state)

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


def _applied(state: JournalState, entries: list[_Entry]) -> JournalState:
    """The state after all changes that do not refuse; each entry learns its own error."""
    for entry in entries:
        entry.settled, entry.error = True, None
        try:
            state = entry.change(state)
        except Exception as error:  # noqa: BLE001 - passed on to the one who asked for this change
            entry.error = error
    return state


def _unwritable(folder: Path, error: OSError) -> Retryable:
    what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
    failed = Retryable(
        f"the journal in {folder} cannot be written: {what}", delay_seconds=5.0, advice=f"free space or repair {folder}"
    )
    failed.__cause__ = error
    return failed


def read_boot_id(path: Path = BOOT_ID_FILE) -> str:
    """What tells one boot of this machine from the next."""
    return path.read_text(encoding="ascii").strip()
