"""Builds what stands in for NVIDIA's library and programs from the C sources beside this file."""

from __future__ import annotations

from pathlib import Path

from partita_plugins.testing.compiling import C, compiled

SOURCES = Path(__file__).with_name("library")
SMI_SOURCES = Path(__file__).with_name("smi")
MPS_SOURCE = Path(__file__).with_name("mps") / "control.c"
SONAME = "libnvidia-ml.so.1"

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")
FLAGS = (*WARNINGS, "-D_POSIX_C_SOURCE=200809L", "-O1", "-fPIC", "-fvisibility=hidden", "-pthread")


def build_library(cache: Path | None = None, *, extra_flags: tuple[str, ...] = ()) -> Path:
    """The library as a file named libnvidia-ml.so.1, compiled where no earlier call has done it.

    Safe for any number of processes at once. `cache` is by default below the user's cache folder. Raises InvalidInput
    without a compiler, Permanent with its words where it fails.
    """
    sources = sorted(SOURCES.glob("*.c"))
    flags = (*FLAGS, *extra_flags, "-shared", f"-Wl,-soname,{SONAME}")
    return compiled(C, SONAME, sources, sorted(SOURCES.glob("*.h")), flags=flags, cache=cache)


def build_stand_in(soname: str, cache: Path | None = None) -> Path:
    """A shared object that has a name and nothing in it: tools that look for the driver's libraries find it."""
    return compiled(
        C,
        soname,
        [SOURCES / "stand_in" / "empty.c"],
        [],
        flags=("-fPIC", "-shared", f"-Wl,-soname,{soname}"),
        cache=cache,
    )


def build_smi(library: Path, cache: Path | None = None) -> Path:
    """The nvidia-smi that belongs to the library: it looks for it where a node has both."""
    sources = [*sorted(SMI_SOURCES.glob("*.c")), library]
    headers = [*SMI_SOURCES.glob("*.h"), SOURCES / "abi.h"]
    flags = (*FLAGS, "-Wl,-rpath,$ORIGIN/../lib/x86_64-linux-gnu")
    return compiled(C, "nvidia-smi", sources, headers, flags=flags, cache=cache)


def build_mps_control(cache: Path | None = None) -> Path:
    """An nvidia-cuda-mps-control that listens, remembers and computes nothing."""
    flags = (*WARNINGS, "-D_GNU_SOURCE", "-O1", "-static")
    return compiled(C, "nvidia-cuda-mps-control", [MPS_SOURCE], [], flags=flags, cache=cache)
