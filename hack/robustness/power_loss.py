"""Power loss for a folder: after it, only what was fsynced is certain, and the rest is as chance has it.

A Recorder keeps, beside the folder, what is durable: of each file the content at its last fsync, of each folder the
entries at its own last fsync. lose_power() then makes of the folder what a machine could find after the loss: each
entry that changed since is the old or the new one, each content that was not synced is old, new, or torn.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Protocol

Entries = dict[str, int]
"""File name to inode number."""


class HasFileno(Protocol):
    """What os.fsync takes besides a descriptor."""

    def fileno(self) -> int: ...


class Recorder:
    """Remembers in `shadow`, a folder on the same file system, what of `root` is durable. One process at a time.

    What is there at the beginning is durable: this begins after a boot.
    """

    def __init__(self, root: Path, shadow: Path) -> None:
        self._root, self._shadow = root, _Shadow(shadow)
        shutil.rmtree(shadow, ignore_errors=True)
        for folder in _folders(root):
            for path in _files(folder):
                self._shadow.keep_content(path)
            self._shadow.keep_entries(root, folder)

    def synced(self, descriptor: int) -> None:
        """An fsync of this descriptor has just succeeded."""
        status = os.fstat(descriptor)
        for folder in _folders(self._root):
            if stat.S_ISDIR(status.st_mode):
                if folder.stat().st_ino == status.st_ino:
                    self._shadow.keep_entries(self._root, folder)
                continue
            for path in _files(folder):
                if path.stat().st_ino == status.st_ino:
                    self._shadow.keep_content(path)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hear of every os.fsync of this process until the end of the block."""
        real = os.fsync

        def fsync(fd: int | HasFileno) -> None:
            real(fd)
            self.synced(fd if isinstance(fd, int) else fd.fileno())

        os.fsync = fsync
        try:
            yield
        finally:
            os.fsync = real


def lose_power(root: Path, shadow: Path, random: Random) -> None:
    """Turn the folder into what could be found after a power loss. No process may use it meanwhile."""
    kept = _Shadow(shadow)
    for folder in _folders(root):
        durable, actual = kept.entries(root, folder), {path.name: path.stat().st_ino for path in _files(folder)}
        contents = {ino: (folder / name).read_bytes() for name, ino in actual.items()}
        found: dict[str, bytes] = {}
        for name in sorted(durable.keys() | actual.keys()):
            ino = random.choice([durable.get(name), actual.get(name)])
            if ino is not None:
                found[name] = _content(kept, ino, contents, random)
        for name in actual:
            (folder / name).unlink()
        for name, content in found.items():
            (folder / name).write_bytes(content)


def _content(kept: _Shadow, ino: int, contents: dict[int, bytes], random: Random) -> bytes:
    durable = kept.content(ino)
    latest = contents[ino] if ino in contents else kept.latest(ino)
    if durable == latest:
        return latest
    torn = latest[: random.randrange(len(latest) + 1)]
    return random.choice([durable or b"", latest, torn, torn.ljust(len(latest), b"\0")])


class _Shadow:
    """What is durable, as files: contents and entries, and a link to each inode, so that its number stays its own."""

    def __init__(self, folder: Path) -> None:
        self._contents, self._pins, self._entries = (folder / name for name in ("contents", "pins", "entries"))

    def keep_content(self, path: Path) -> None:
        ino = self._pin(path)
        self._put(self._contents / str(ino), path.read_bytes())

    def keep_entries(self, root: Path, folder: Path) -> None:
        entries = {path.name: self._pin(path) for path in _files(folder)}
        self._put(self._entries / _name(root, folder), json.dumps(entries).encode())

    def content(self, ino: int) -> bytes | None:
        """None: never synced."""
        path = self._contents / str(ino)
        return path.read_bytes() if path.exists() else None

    def latest(self, ino: int) -> bytes:
        return (self._pins / str(ino)).read_bytes()

    def entries(self, root: Path, folder: Path) -> Entries:
        path = self._entries / _name(root, folder)
        found: Entries = json.loads(path.read_bytes()) if path.exists() else {}
        return found

    def _pin(self, path: Path) -> int:
        ino = path.stat().st_ino
        self._pins.mkdir(parents=True, exist_ok=True)
        if not (self._pins / str(ino)).exists():
            os.link(path, self._pins / str(ino))
        return ino

    @staticmethod
    def _put(path: Path, data: bytes) -> None:
        # Whole or not at all: the process is killed at any time.
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(data)
        temporary.replace(path)


def _name(root: Path, folder: Path) -> str:
    return "%".join(("root", *folder.relative_to(root).parts))


def _folders(root: Path) -> list[Path]:
    return sorted([root, *(path for path in root.rglob("*") if path.is_dir())])


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
