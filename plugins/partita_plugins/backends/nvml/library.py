"""Where NVIDIA's driver keeps libnvidia-ml.so.1 under the node's root."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

from partita_plugins.errors import BackendError, NvmlCode

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

DRIVER_ROOTS = ("", "run/nvidia/driver")
"""The second is where the GPU operator's driver container mounts its own root."""


def find_library(root: Path) -> Path | None:
    """NVML under a root; None where the dynamic loader has to find it."""
    return next((path for path in _candidates(root) if path.exists()), None)


def _candidates(root: Path) -> Iterator[Path]:
    for driver_root in DRIVER_ROOTS:
        for folder in FOLDERS:
            yield root / driver_root / folder / SONAME


def load_library(root: Path) -> None:
    """Load NVML from under a root. pynvml asks for it by name, and gets the one that is loaded already."""
    found = find_library(root)
    if found is not None:
        try:
            ctypes.CDLL(str(found), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise BackendError(
                NvmlCode.LIBRARY_NOT_FOUND, f"{found} cannot be loaded: {error}", advice="install NVIDIA's driver anew"
            ) from error
