"""State on disk: values in JSON files that survive a kill at any moment, changed by one process at a time."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from partita_plugins.backends.files import write_atomically
from partita_plugins.backends.simulated.records import GpuRecord
from partita_plugins.errors import BackendError, NvmlCode

LOCK_SECONDS_MAX = 10.0
_LOCK_POLL_SECONDS = 0.002


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file against other threads and processes. TIMEOUT after LOCK_SECONDS_MAX."""
    with path.open("a") as file:
        deadline = time.monotonic() + LOCK_SECONDS_MAX
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise BackendError(NvmlCode.TIMEOUT, f"{path.name} stays locked by another process")
            time.sleep(_LOCK_POLL_SECONDS)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class GpuFiles:
    """Records of all GPUs of one machine. A GPU without a file is as it left the factory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def load(self, gpu_uuid: str) -> GpuRecord:
        """The record as it is now, without a lock: files are replaced whole."""
        path = self._folder / f"{gpu_uuid}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=GpuRecord)
        except FileNotFoundError:
            return GpuRecord()
        except msgspec.DecodeError as error:
            raise BackendError(
                NvmlCode.UNKNOWN,
                f"the state of the simulated {gpu_uuid} is damaged: {error}",
                advice=f"remove {path.name} to get the GPU back as new",
            ) from error

    def update(self, gpu_uuid: str, change: Callable[[GpuRecord], GpuRecord]) -> GpuRecord:
        """Apply a pure change and store it. Whatever it raises leaves the record as it was."""
        with locked(self._folder / f"{gpu_uuid}.lock"):
            before = self.load(gpu_uuid)
            after = change(before)
            if after != before:
                write_atomically(self._folder / f"{gpu_uuid}.json", msgspec.json.encode(after))
        return after
