"""Real GPUs: NVML through nvidia-ml-py, device nodes and topology from /proc, /sys and /dev, settings by nvidia-smi.

This package is pynvml's one door. PARTITA_HOST_ROOT says where the node's file system is mounted (default "/").
"""

from __future__ import annotations

import os
from pathlib import Path

from partita_plugins.backends.nvml.backend import NvmlBackend

__all__ = ["HOST_ROOT_VARIABLE", "NvmlBackend", "open_backend"]

HOST_ROOT_VARIABLE = "PARTITA_HOST_ROOT"


def open_backend(state_dir: Path, machine: str = "", *, seed: str = "") -> NvmlBackend:  # noqa: ARG001 - the port's
    """A backend over this node's GPUs. NVML is loaded at the first call, so this never blocks and never fails.

    `state_dir` keeps what NVML forgets (XIDs that wait for a reset). `machine` and `seed` are for simulated hardware.
    """
    return NvmlBackend(state_dir, root=Path(os.environ.get(HOST_ROOT_VARIABLE) or "/"))
