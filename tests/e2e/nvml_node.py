"""A node of the real cluster whose GPUs answer through NVML: our C library over its hardware, the real nvidia-ctk."""

from __future__ import annotations

import shutil

from hack.realcluster import binaries, modules

from partita_plugins.testing.gpu import build_kernels
from partita_plugins.testing.nvml import installed
from tests.e2e.node import STATE, Node

PROGRAMS = ("nvidia-ctk", "nvidia-cdi-hook")
DRIVER_ROOT = f"{STATE}/simulated/root"
"""Where the node has its driver, as manifests/overlays/e2e-nvml says."""

KERNELS = "libkernels.so"
"""What its driver's validator computes with, in the same folder as the hardware."""


def lay_out(node: Node, machine: str) -> None:
    """Give a node the named machine of the catalog, before its driver comes. Root only: it has real device nodes."""
    found = installed(node.path(STATE, "simulated"), machine, seed=node.name)
    shutil.copy2(build_kernels(), found.state / KERNELS)
    for program in PROGRAMS:
        shutil.copy2(binaries.folder(modules.toolkit()) / program, found.root / "usr" / "bin" / program)
