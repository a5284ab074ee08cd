"""Virtual environments for building, which the system's Python may lack: each kept under what is in it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hack.image_lib import lockfile
from hack.image_lib.cache import Cache, digest
from hack.image_lib.commands import run
from hack.image_lib.target import PROBE, Target

ROOT = Path(__file__).resolve().parents[2]
NETWORK = "Check that pip can reach a package index from here."


def environment(cache: Cache, lock: str) -> Path:
    """A Python with all that a lock file names for this machine."""
    here = Target.parse(run(sys.executable, "-c", PROBE, advice="Try another Python."))
    pins = lockfile.wanted(lockfile.parse((ROOT / lock).read_text()), here.environment)
    return with_pins(cache, Path(lock).stem, pins)


def with_pins(cache: Cache, kind: str, pins: Iterable[lockfile.Pin]) -> Path:
    """A Python with these packages alone."""
    lines = "".join(f"{pin.line}\n" for pin in pins)

    def make(folder: Path) -> None:
        run(sys.executable, "-m", "venv", folder, advice="Install python3-venv.")
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(lines)
            file.flush()
            options = ("--quiet", "--no-deps", "--require-hashes", f"--requirement={file.name}")
            run(folder / "bin" / "python", "-m", "pip", "install", *options, advice=NETWORK)

    return cache.get(kind, digest(lines, os.path.realpath(sys.executable)), f"Tools: {kind}", make) / "bin" / "python"
