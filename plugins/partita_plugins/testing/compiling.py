"""Compiles sources once for each state of them and of the flags."""

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
from dataclasses import dataclass
from pathlib import Path

from partita_plugins.errors import InvalidInput, Permanent

COMPILE_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Compiler:
    """One language's compiler: what it is called unless the environment says otherwise, and how to get it."""

    language: str
    variable: str
    program: str
    packages: str

    @property
    def command(self) -> list[str]:
        """As an argument list. InvalidInput where it is not there."""
        words = shlex.split(os.environ.get(self.variable, "")) or [self.program]
        if shutil.which(words[0]) is None:
            raise InvalidInput(
                f"there is no {self.language} compiler {words[0]!r}", advice=f"run: apt-get install -y {self.packages}"
            )
        return words


C = Compiler("C", "CC", "cc", "gcc libc6-dev")
CXX = Compiler("C++", "CXX", "g++", "g++")


def compiled(
    compiler: Compiler,
    name: str,
    sources: list[Path],
    headers: list[Path],
    *,
    flags: tuple[str, ...],
    cache: Path | None,
) -> Path:
    """A file of that name, compiled where no earlier call has done it; `headers` are all else that it depends on.

    Safe for any number of processes at once. `cache` is by default below the user's cache folder. Raises InvalidInput
    without a compiler, Permanent with its words where it fails.
    """
    command = [*compiler.command, *flags]
    folder = (cache or _default_cache()) / _key(command, [*sources, *headers])
    target = folder / name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / "lock"):
            if not target.exists():
                _compile(command, sources, target)
    return target


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "partita" / "compiled"


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
