"""Things that outlive a build, each under the hash of what it was made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.image_lib.commands import step

KEPT = 3
"""How many entries of each kind stay: this build's and those of the last branches."""


def cache_folder() -> Path:
    """Where hack/cluster keeps its programs too; PARTITA_CACHE_DIR overrides it."""
    override = os.environ.get("PARTITA_CACHE_DIR")
    return Path(override).absolute() if override else Path.home() / ".cache" / "partita"


def digest(*parts: str | bytes) -> str:
    """Sixteen hexadecimal digits that change with any part."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()[:16]


def digest_of_files(root: Path, files: Iterable[Path]) -> str:
    """One digest of files' names below a root and contents, in any order."""
    return digest(*(part for file in sorted(files) for part in (str(file.relative_to(root)), file.read_bytes())))


def digest_of_large(file: Path) -> str:
    """Digest of one file that need not fit into memory."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of finished things; an unfinished one never gets its name."""

    folder: Path

    def get(self, kind: str, key: str, what: str, make: Callable[[Path], None]) -> Path:
        """The thing under this key. `make` writes a file or a folder at the path it is given."""
        target = self.folder / kind / key
        if target.exists():
            os.utime(target)
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with step(what), tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as scratch:
            made = Path(scratch) / "made"
            make(made)
            made.rename(target)
        self._forget_old(kind)
        return target

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other build uses the cache."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _forget_old(self, kind: str) -> None:
        entries = [entry for entry in (self.folder / kind).iterdir() if not entry.name.startswith(".")]
        for entry in sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
