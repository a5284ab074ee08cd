"""A full disk for one folder: files can be opened, and what is written to them finds no space."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class _Full(io.FileIO):
    def write(self, _data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)


@contextmanager
def full_disk(folder: Path, full: Callable[[], bool]) -> Iterator[None]:
    """Until the end of the block writing below `folder` fails with ENOSPC whenever `full()` says so.

    It reaches what is opened by pathlib or io.open; the file is there, empty, as on a real full disk.
    """
    real = io.open

    def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        writes = any(flag in mode for flag in "wax+")
        if not (writes and isinstance(file, Path) and file.is_relative_to(folder) and full()):
            return real(file, mode, *rest, **more)
        raw = io.BufferedWriter(_Full(file, mode.replace("b", "").replace("t", "")))
        return raw if "b" in mode else io.TextIOWrapper(raw, *rest[1:], **more)

    io.open = opened
    try:
        yield
    finally:
        io.open = real
