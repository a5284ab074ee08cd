"""Wheels of the locked dependencies and of Partita itself, each with a requirements file that holds its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hack.image_lib import lockfile
from hack.image_lib.cache import Cache, digest, digest_of_files
from hack.image_lib.commands import ImageError, run
from hack.image_lib.target import Target
from hack.image_lib.tools import NETWORK, with_pins

ROOT = Path(__file__).resolve().parents[2]
BUILD_BACKEND = frozenset({"hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers"})
"""What [build-system] of pyproject.toml needs, from the development lock."""

RUNTIME = "requirements/runtime.txt"
"""With CuPy for CUDA 12, which drivers from 525 on run; that for CUDA 13 needs 580."""

SOURCES = ("scheduler", "driver", "plugins")
NOT_SOURCES = frozenset({"__pycache__", "built"})
"""Folders with what is made from sources."""

_EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
"""The same sources give the same wheel, byte for byte."""


def dependencies(cache: Cache, target: Target) -> Path:
    """A folder with the wheels of the runtime's lock file for the target."""
    pins = lockfile.wanted(lockfile.parse(_text(RUNTIME)), target.environment)
    lines = "".join(f"{pin.line}\n" for pin in pins)
    key = digest(lines, *target.pip_options)

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "requirements.txt").write_text(lines)
        where = ("--require-hashes", f"--requirement={folder / 'requirements.txt'}", f"--dest={folder}")
        python = _tools(cache)
        run(python, "-m", "pip", "download", "--quiet", "--no-deps", *where, *target.pip_options, advice=NETWORK)

    return cache.get("dependencies", key, f"{len(pins)} wheels (kept)", make)


def source_digest() -> str:
    """Changes with any file that the wheel of Partita is made from."""
    packages = (file for folder in SOURCES for file in (ROOT / folder).rglob("*") if file.is_file())
    files = [file for file in packages if not NOT_SOURCES & set(file.parts) and not file.name.endswith(".pyc")]
    return digest_of_files(ROOT, [*files, *(ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE"))])


def product(cache: Cache, key: str) -> Path:
    """A folder with the wheel of Partita; `key` is source_digest()."""

    def make(folder: Path) -> None:
        run(ROOT / "hack" / "kernels", advice="The kernels are part of the wheel.")
        folder.mkdir()
        options = ("--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}")
        run(
            _tools(cache), "-m", "pip", "wheel", *options, ROOT,
            environment=_EPOCH, advice="Mend what it names in the sources or in pyproject.toml.",
        )  # fmt: skip
        (wheel,) = folder.glob("*.whl")
        name, version = wheel.name.split("-")[:2]
        value = hashlib.sha256(wheel.read_bytes()).hexdigest()
        (folder / "requirements.txt").write_text(f"{name}=={version} --hash=sha256:{value}\n")

    return cache.get("product", key, "Wheel of Partita", make)


def _tools(cache: Cache) -> Path:
    """A Python with pip and the build backend, which the system's Python may lack."""
    pins = [pin for pin in lockfile.parse(_text("requirements/dev.txt")) if pin.name in BUILD_BACKEND]
    if len(pins) != len(BUILD_BACKEND):
        raise ImageError(f"requirements/dev.txt does not pin all of {', '.join(sorted(BUILD_BACKEND))}; run make lock")
    return with_pins(cache, "tools", pins)


def _text(path: str) -> str:
    return (ROOT / path).read_text()
