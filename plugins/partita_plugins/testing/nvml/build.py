"""Compiles the C sources beside this file, once for each state of the sources and the flags."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from partita_plugins.errors import InvalidInput, Permanent

SOURCES = Path(__file__).with_name("library")
SMI_SOURCES = Path(__file__).with_name("smi")
MPS_SOURCE = Path(__file__).with_name("mps") / "control.c"
SONAME = "libnvidia-ml.so.1"

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")
FLAGS = (*WARNINGS, "-D_POSIX_C_SOURCE=200809L", "-O1", "-fPIC", "-fvisibility=hidden", "-pthread")

COMPILE_SECONDS_MAX = 120.0


def build_library(cache: Path | None = None, *, extra_flags: tuple[str, ...] = ()) -> Path:
    """The library as a file named libnvidia-ml.so.1, compiled where no earlier call has done it.

    Safe for any number of processes at once. `cache` is by default below the user's cache folder. Raises InvalidInput
    without a compiler, Permanent with its words where it fails.
    """
    sources = sorted(SOURCES.glob("*.c"))
    flags = (*FLAGS, *extra_flags, "-shared", f"-Wl,-soname,{SONAME}")
    return _compiled(SONAME, sources, sorted(SOURCES.glob("*.h")), flags, cache)


def build_stand_in(soname: str, cache: Path | None = None) -> Path:
    """A shared object that has a name and nothing in it: tools that look for the driver's libraries find it."""
    return _compiled(
        soname, [SOURCES / "stand_in" / "empty.c"], [], ("-fPIC", "-shared", f"-Wl,-soname,{soname}"), cache
    )


def build_smi(library: Path, cache: Path | None = None) -> Path:
    """The nvidia-smi that belongs to the library: it looks for it where a node has both."""
    sources = [*sorted(SMI_SOURCES.glob("*.c")), library]
    headers = [*SMI_SOURCES.glob("*.h"), SOURCES / "abi.h"]
    return _compiled("nvidia-smi", sources, headers, (*FLAGS, "-Wl,-rpath,$ORIGIN/../lib/x86_64-linux-gnu"), cache)


def build_mps_control(cache: Path | None = None) -> Path:
    """An nvidia-cuda-mps-control that listens, remembers and computes nothing."""
    return _compiled("nvidia-cuda-mps-control", [MPS_SOURCE], [], (*WARNINGS, "-D_GNU_SOURCE", "-O1", "-static"), cache)


def compiler() -> list[str]:
    """The C compiler as an argument list: $CC, else cc. InvalidInput where it is not there."""
    words = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(words[0]) is None:
        raise InvalidInput(f"there is no C compiler {words[0]!r}", advice="run: apt-get install -y gcc libc6-dev")
    return words


def _compiled(name: str, sources: list[Path], headers: list[Path], flags: tuple[str, ...], cache: Path | None) -> Path:
    command = [*compiler(), *flags]
    folder = (cache or _default_cache()) / _key(command, [*sources, *headers])
    target = folder / name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / "lock"):
            if not target.exists():
                _compile(command, sources, target)
    return target


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "partita" / "nvml"


def _key(command: list[str], files: Iterable[Path]) -> str:
    digest = hashlib.sha256("\0".join(command).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock file; whoever has it compiles, which has a deadline."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile(command: list[str], sources: list[Path], target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        done = subprocess.run(
            [*command, "-o", str(made), *map(str, sources)],
            capture_output=True,
            text=True,
            timeout=COMPILE_SECONDS_MAX,
            check=False,
        )
        if done.returncode != 0:
            raise Permanent(f"{command[0]} cannot compile {target.name}: {done.stderr.strip()}")
        made.replace(target)
