"""The kernels as functions on the CPU, on a machine that may be broken."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from partita_plugins.validators.cuda.port import Argument


class Fault(IntEnum):
    """What is wrong with one multiprocessor: FaultKind of machine/host.hpp."""

    NONE = 0
    WRONG_BIT = 1
    NOT_A_NUMBER = 2
    SWAPPED_LANES = 3
    IDLE = 4
    LOW_BIT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the kernels run on."""

    multiprocessors: int = 1
    fault: Fault = Fault.NONE
    faulty_multiprocessor: int = 0
    stuck_line: int = -1
    """Bit of the address of every word of the memory that is always 0; -1: none."""

    memory: int = 0
    memory_bytes: int = 0
    """Where the memory is, in this process."""


class _Machine(ctypes.Structure):
    _fields_ = (
        ("multiprocessors", ctypes.c_uint32),
        ("fault", ctypes.c_uint32),
        ("faulty_multiprocessor", ctypes.c_uint32),
        ("stuck_line", ctypes.c_int),
        ("memory", ctypes.c_uint64),
        ("memory_bytes", ctypes.c_uint64),
    )


class HostKernels:
    """Launches, each of which has ended when it returns. Thread-safe, and threads go side by side."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def launch(self, machine: Machine, kernel: str, grid: int, block: int, arguments: Sequence[Argument]) -> None:
        """Run a kernel by name; pointers are addresses in this process."""
        state = _Machine(*astuple(machine))
        values = [(ctypes.c_uint32 if isinstance(one, np.uint32) else ctypes.c_uint64)(int(one)) for one in arguments]
        self._library[f"launch_{kernel}"](ctypes.byref(state), ctypes.c_uint32(grid), ctypes.c_uint32(block), *values)
