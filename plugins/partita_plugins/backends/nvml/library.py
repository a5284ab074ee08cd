"""Where NVIDIA's driver keeps its libraries and programs under a root."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path

from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.rooted import DRIVER_CONTAINER, seen

SONAME = "libnvidia-ml.so.1"

FOLDERS = (
    "usr/lib64",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib",
    "lib64",
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
)
"""Of the distributions that NVIDIA packages its driver for, the likeliest first."""

Roots = Sequence[Path]
"""Where to look, the likeliest first."""


def find_library(roots: Roots, soname: str = SONAME) -> Path | None:
    """A library of the driver under the first root that has it; None where the dynamic loader has to find it."""
    return find(roots, [f"{folder}/{soname}" for folder in FOLDERS])


def find(roots: Roots, paths: Sequence[str]) -> Path | None:
    """The first file of some that is there, under a root or the driver container's in it."""
    candidates = (seen(root, path) for root in with_driver_containers(roots) for path in paths)
    return next((path for path in candidates if path.exists()), None)


def with_driver_containers(roots: Roots) -> Iterator[Path]:
    """Each root, followed by that of the driver container in it."""
    for root in roots:
        yield from (root, seen(root, DRIVER_CONTAINER))


def load_library(roots: Roots) -> None:
    """Load NVML from under a root. pynvml asks for it by name, and gets the one that is loaded already."""
    found = find_library(roots)
    if found is not None:
        try:
            ctypes.CDLL(str(found), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise BackendError(
                NvmlCode.LIBRARY_NOT_FOUND, f"{found} cannot be loaded: {error}", advice="install NVIDIA's driver anew"
            ) from error
