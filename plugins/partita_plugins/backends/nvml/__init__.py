"""Real GPUs: NVML through nvidia-ml-py, device nodes and topology from /proc, /sys and /dev, settings by nvidia-smi.

This package is pynvml's one door. Two variables of the environment, both "/" by default: PARTITA_HOST_ROOT is where
this process sees the node's file system, PARTITA_DEVICE_ROOT the folder on the node whose dev/ has the device nodes.
"""

from __future__ import annotations

import os
from pathlib import Path

from partita_plugins.backends.nvml.backend import NvmlBackend

__all__ = ["DEVICE_ROOT_VARIABLE", "HOST_ROOT_VARIABLE", "NvmlBackend", "open_backend"]

HOST_ROOT_VARIABLE = "PARTITA_HOST_ROOT"
DEVICE_ROOT_VARIABLE = "PARTITA_DEVICE_ROOT"
"""Another root than "/" is a node that stands in a folder, or a driver container that keeps its nodes to itself."""


def open_backend(state_dir: Path, machine: str = "", *, seed: str = "") -> NvmlBackend:  # noqa: ARG001 - the port's
    """A backend over this node's GPUs. NVML is loaded at the first call, so this never blocks and never fails.

    `state_dir` keeps what NVML forgets (XIDs that wait for a reset). `machine` and `seed` are for simulated hardware.
    """
    return NvmlBackend(state_dir, root=_folder(HOST_ROOT_VARIABLE), device_root=_folder(DEVICE_ROOT_VARIABLE))


def _folder(variable: str) -> Path:
    return Path(os.environ.get(variable) or "/")
