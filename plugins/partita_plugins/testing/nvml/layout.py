"""Lays a machine out in a folder: state, inventory, and the node's files below `root`, as a driver would find them."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from partita_plugins.backends.files import write_atomically
from partita_plugins.backends.simulated.machine import SimulatedMachine, build_machine
from partita_plugins.backends.simulated.records import MachineRecord
from partita_plugins.testing.nvml.build import SONAME, build_library, build_mps_control, build_smi, build_stand_in
from partita_plugins.testing.nvml.inventory import inventory
from partita_plugins.testing.nvml.root import lay_out_root

LIBRARIES = "usr/lib/x86_64-linux-gnu"

STAND_INS = ("libcuda.so.1", "libcudadebugger.so.1", "libnvidia-nvvm.so.4", "libnvidia-ptxjitcompiler.so.1")
"""Libraries of the driver that containers get; nvidia-ctk looks for libcuda first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node with a simulated machine that NVML's callers take for real."""

    machine: SimulatedMachine
    state: Path
    """State folder, as of the simulated backend."""

    @property
    def root(self) -> Path:
        """What stands for / of the node: /proc, /sys, /dev, the driver's libraries and programs."""
        return self.state / "root"

    @property
    def library(self) -> Path:
        """The file that answers as libnvidia-ml.so.1."""
        return self.root / LIBRARIES / SONAME

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs so that NVML and the host's files are this node's."""
        return {
            "PARTITA_SIMULATED_DIR": str(self.state),
            "PARTITA_DRIVER_ROOT": str(self.root),
            "LD_LIBRARY_PATH": str(self.library.parent),
        }

    def load(self) -> ctypes.CDLL:
        """Make pynvml in this process find the library: the loader goes by the name of what is loaded already.

        Which machine answers is looked up at nvmlInit, in this process' environment.
        """
        return ctypes.CDLL(str(self.library))


def installed(folder: Path, machine: str, *, seed: str = "node", shuffle_minors: bool = False) -> Node:
    """The named machine of the catalog in a folder, laid out where it is not yet.

    Raises InvalidInput for an unknown machine, a folder that holds another one, and without a C compiler.
    """
    library = build_library()
    built = build_machine(folder, MachineRecord(machine=machine, seed=seed, shuffle_minors=shuffle_minors))
    node = Node(machine=built, state=folder)
    lay_out_root(node.root, built)
    node.library.parent.mkdir(parents=True, exist_ok=True)
    version = built.hardware.driver_version
    for soname, file in ((SONAME, library), *((name, build_stand_in(name)) for name in STAND_INS)):
        _place(file, node.library.with_name(f"{soname.partition('.so')[0]}.so.{version}"))
        _link(node.library.with_name(soname), f"{soname.partition('.so')[0]}.so.{version}")
    smi = node.root / "usr/bin/nvidia-smi"
    smi.parent.mkdir(parents=True, exist_ok=True)
    _place(build_smi(library), smi)
    _place(build_mps_control(), smi.with_name("nvidia-cuda-mps-control"))
    write_inventory(folder, built)
    return node


def write_inventory(folder: Path, machine: SimulatedMachine) -> None:
    """What the C library needs in a state folder to answer for its machine."""
    write_atomically(folder / "inventory.json", msgspec.json.encode(inventory(machine)))


def _place(file: Path, target: Path) -> None:
    """The same file at another path, by a hard link where the file system can: the loader then knows it is one."""
    temporary = _beside(target)
    try:
        os.link(file, temporary)
    except OSError:
        shutil.copy2(file, temporary)
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # replacing a file by another link to it leaves both


def _link(path: Path, target: str) -> None:
    temporary = _beside(path)
    temporary.symlink_to(target)
    temporary.replace(path)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")
