"""Compiles the kernels for the CPU."""

from __future__ import annotations

from pathlib import Path

from partita_plugins import validators
from partita_plugins.testing.compiling import CXX, compiled

KERNELS = Path(validators.__file__).with_name("kernels")
MACHINE = Path(__file__).with_name("machine")
FLAGS = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared")


def build_kernels(cache: Path | None = None) -> Path:
    """A shared library with launch_NAME for each kernel, compiled where no earlier call has done it.

    Raises InvalidInput without g++, Permanent with its words where it fails.
    """
    depends = sorted([*KERNELS.glob("*.cu"), *KERNELS.glob("*.cuh"), *MACHINE.glob("*.hpp")])
    flags = (*FLAGS, f"-I{KERNELS}", f"-I{MACHINE}")
    return compiled(CXX, "libkernels.so", [MACHINE / "launch.cpp"], depends, flags=flags, cache=cache)
