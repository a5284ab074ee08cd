"""Real GPUs: NVML through nvidia-ml-py, device nodes and topology from /proc, /sys and /dev, settings by nvidia-smi.

This package is pynvml's one door.
"""

from __future__ import annotations

from pathlib import Path

from partita_plugins.backends.nvml.backend import NvmlBackend
from partita_plugins.backends.nvml.host import is_whole_node
from partita_plugins.rooted import seen

__all__ = ["NvmlBackend", "open_backend"]

ROOT = Path("/")


def open_backend(
    state_dir: Path,
    machine: str = "",  # noqa: ARG001 - the port's
    *,
    seed: str = "",  # noqa: ARG001 - the port's
    host_root: Path = ROOT,
    driver_root: Path = ROOT,
) -> NvmlBackend:
    """A backend over this node's GPUs. NVML is loaded at the first call, so this never blocks and never fails.

    `host_root` is where this process sees the node's file system, `driver_root` where on the node NVIDIA's driver is: a
    driver container's root, or a folder that holds a whole node. `state_dir` keeps what NVML forgets (XIDs that wait
    for a reset). `machine` and `seed` are for simulated hardware.
    """
    here = seen(host_root, str(driver_root))
    if is_whole_node(here):
        return NvmlBackend(state_dir, root=here, device_root=driver_root)
    return NvmlBackend(state_dir, root=host_root, device_root=ROOT, driver_root=here)
