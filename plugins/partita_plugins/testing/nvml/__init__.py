"""NVML without a GPU: a libnvidia-ml.so.1 of ours over a simulated machine, and the node that belongs to it.

installed(folder, "hgx-h100", seed="node-a")   lays the machine out; its `environment` makes pynvml find it
python -m partita_plugins.testing.nvml --help   the same from a shell

The state folder is the simulated backend's: its command line plants faults, resets and reboots, and whoever calls
NVML sees it.
"""

from __future__ import annotations

from partita_plugins.testing.nvml.build import build_library
from partita_plugins.testing.nvml.layout import Node, installed

__all__ = ["Node", "build_library", "installed"]
