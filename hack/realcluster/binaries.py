"""Builds the programs once and keeps them, keyed on their go.sum and flags."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import cache_folder
from hack.realcluster.modules import Module
from hack.realcluster.progress import BuildProgress

_KEPT_LINES = 20


def folder(module: Module) -> Path:
    """Return the folder the module's programs are kept in, built or not."""
    return cache_folder() / "bin" / module.key


def is_built(module: Module) -> bool:
    """Say whether the module's programs are in the cache."""
    return folder(module).is_dir()


def build(module: Module) -> Path:
    """Build the module unless it is in the cache, and return the folder with its programs."""
    target = folder(module)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.parent / f".{module.key}.lock"):
        # Another `up` may have built it while this one waited.
        if target.is_dir():
            return target
        prefix = f".building-{module.key}-"
        for stopped in target.parent.glob(f"{prefix}*"):
            shutil.rmtree(stopped)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix) as scratch:
            output = Path(scratch) / "bin"
            output.mkdir()
            _compile(module, output)
            # Only a complete build gets its name, so a stopped one is never mistaken for it.
            output.rename(target)
    return target


def path_of(modules: tuple[Module, ...]) -> str:
    """Return a PATH that finds the programs of these modules before the system's."""
    folders = [str(folder(module)) for module in modules]
    # The sbin folders are named because runc lies in one and not every PATH has them.
    system = [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    return os.pathsep.join(part for part in (*folders, *system) if part)


def _compile(module: Module, output: Path) -> None:
    destination = str(output / module.output) if module.output else f"{output}{os.sep}"
    command = ["nice", "-n", "5", "go", "build", "-v", *module.flags, "-o", destination, *module.packages]
    environment = {**os.environ, "CGO_ENABLED": str(int(module.cgo))}
    progress = BuildProgress(module.name, _package_count(module, environment))
    other: list[str] = []
    with subprocess.Popen(command, cwd=module.folder, env=environment, text=True, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for raw in process.stderr:
            line = raw.rstrip()
            if not progress.saw(line):
                other.append(line)
    if process.returncode:
        last = "\n".join(other[-_KEPT_LINES:])
        msg = (
            f"Building {module.name} failed:\n{last}\n"
            "If modules could not be fetched, check the network and `go env GOPROXY`; "
            "then run hack/cluster build again: it goes on where it stopped."
        )
        raise ClusterError(msg)
    progress.finished()


def _package_count(module: Module, environment: dict[str, str]) -> int | None:
    if shutil.which("go") is None:
        msg = "Go is needed to build the programs: hack/cluster prerequisites says which one."
        raise ClusterError(msg)
    command = ["go", "list", "-deps", "-f", "{{.ImportPath}}", *module.packages]
    listed = subprocess.run(command, cwd=module.folder, env=environment, capture_output=True, text=True, check=False)
    return len(listed.stdout.splitlines()) if listed.returncode == 0 else None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
