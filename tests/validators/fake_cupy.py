"""CuPy's modules as validators.cupy.device uses them, over the CPU's memory and the kernels' own source."""

# ruff: noqa: N802, N815 - CUDA's own names

from __future__ import annotations

import ctypes
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from partita_plugins.testing.gpu import HostKernels, Machine, build_kernels

MEMORY_BYTES = 8 << 20
MULTIPROCESSORS = 4
CAPABILITY = (9, 0)
OUT_OF_MEMORY, INVALID_DEVICE, ALREADY_ENABLED = 2, 101, 704


class CUDARuntimeError(RuntimeError):
    """As cupy_backends': `status` is CUDA's code."""

    def __init__(self, status: int) -> None:
        super().__init__(f"error {status}")
        self.status = status


class CUDADriverError(CUDARuntimeError):
    """Of the driver API."""


class Runtime(types.ModuleType):
    """cupy.cuda.runtime. Memory that is asked for on one device is taken from that device's share."""

    CUDARuntimeError = CUDARuntimeError
    memcpyHostToDevice, memcpyDeviceToHost, memcpyDeviceToDevice = 1, 2, 3
    hostAllocDefault = 0

    def __init__(self, devices: int) -> None:
        super().__init__("runtime")
        self.devices, self.current = devices, -1
        self.held: dict[int, tuple[int, Any]] = {}
        self.peers: set[tuple[int, int]] = set()
        self.fails = 0
        """What every wait answers from now on."""

    def getDeviceCount(self) -> int:
        return self.devices

    def setDevice(self, number: int) -> None:
        if number >= self.devices:
            raise CUDARuntimeError(INVALID_DEVICE)
        self.current = number

    def getDeviceProperties(self, number: int) -> dict[str, Any]:
        major, minor = CAPABILITY
        return {"major": major, "minor": minor, "multiProcessorCount": MULTIPROCESSORS}

    def memGetInfo(self) -> tuple[int, int]:
        taken = sum(len(room) for number, room in self.held.values() if number == self.current)
        return MEMORY_BYTES - taken, MEMORY_BYTES

    def malloc(self, size: int) -> int:
        if size > self.memGetInfo()[0]:
            raise CUDARuntimeError(OUT_OF_MEMORY)
        room = np.zeros(size + 256, dtype=np.uint8)
        pointer: int = -(-room.ctypes.data // 256) * 256
        self.held[pointer] = (self.current, room)
        return pointer

    def free(self, pointer: int) -> None:
        del self.held[pointer]

    def hostAlloc(self, size: int, flags: int) -> int:
        return self.malloc(size)

    def freeHost(self, pointer: int) -> None:
        self.free(pointer)

    def memcpy(self, destination: int, source: int, size: int, kind: int) -> None:
        """Device memory must be memory that was asked for."""
        if kind != self.memcpyHostToDevice:
            self._owner(source)
        if kind != self.memcpyDeviceToHost:
            self._owner(destination)
        ctypes.memmove(destination, source, size)

    def deviceSynchronize(self) -> None:
        if self.fails:
            raise CUDARuntimeError(self.fails)

    def deviceCanAccessPeer(self, number: int, peer: int) -> int:
        return 1

    def deviceEnablePeerAccess(self, peer: int) -> None:
        if (self.current, peer) in self.peers:
            raise CUDARuntimeError(ALREADY_ENABLED)
        self.peers.add((self.current, peer))

    def memcpyPeer(self, destination: int, to: int, source: int, of: int, size: int) -> None:
        if (self._owner(destination), self._owner(source)) != (to, of):
            raise CUDARuntimeError(1)
        ctypes.memmove(destination, source, size)

    def _owner(self, pointer: int) -> int:
        begin = max((one for one in self.held if one <= pointer), default=-1)
        number, room = self.held[begin]
        if pointer >= begin + len(room):
            raise CUDARuntimeError(1)
        return number


class RawModule:
    """Loads a file that has to be there, and launches the host's kernels."""

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)
        self._kernels = HostKernels(build_kernels())

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self._kernels, name)


class RawKernel:
    """Is loaded when something is asked of it."""

    load_fails = 0
    """What loading answers."""

    def __init__(self, kernels: HostKernels, name: str) -> None:
        self._kernels, self._name = kernels, name

    @property
    def num_regs(self) -> int:
        if self.load_fails:
            raise CUDADriverError(self.load_fails)
        return 32

    def __call__(self, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any]) -> None:
        machine = Machine(multiprocessors=MULTIPROCESSORS)
        self._kernels.launch(machine, self._name, grid[0], block[0], arguments)


def modules(devices: int) -> tuple[dict[str, types.ModuleType], Runtime]:
    """What `import cupy` and `from cupy.cuda import driver, runtime` get."""
    runtime = Runtime(devices)
    driver = types.ModuleType("driver")
    driver.CUDADriverError = CUDADriverError  # type: ignore[attr-defined]
    cuda = types.ModuleType("cuda")
    cuda.runtime, cuda.driver = runtime, driver  # type: ignore[attr-defined]
    cupy = types.ModuleType("cupy")
    cupy.RawModule, cupy.cuda = RawModule, cuda  # type: ignore[attr-defined]
    return {"cupy": cupy, "cupy.cuda": cuda}, runtime
