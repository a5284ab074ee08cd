"""CuPy's one door. No array is ever computed with: CuPy would compile kernels for it."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np
from cupy.cuda import driver, runtime
from numpy.typing import NDArray

from partita_plugins.errors import NvmlCode
from partita_plugins.validators.cuda.port import Argument, Device, DeviceFacts, DeviceFailed, OutOfRoom, Unavailable
from partita_plugins.validators.cupy.environment import LIBRARIES
from partita_plugins.validators.cupy.images import image_for
from partita_plugins.validators.cupy.refusals import ALREADY_ENABLED, OUT_OF_MEMORY, as_unavailable
from partita_plugins.validators.kernels import KERNELS

COPIES = 5
"""The best of them counts."""


def open_devices(visible: Sequence[str]) -> Sequence[Device]:
    """As the port promises. The first call of CUDA in this process: it sees what it is told here, and no more."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible)
    _load_driver()
    try:
        with _named():
            count = runtime.getDeviceCount()
            if count != len(visible):
                raise Unavailable(NvmlCode.NOT_FOUND, f"CUDA sees {count} of {len(visible)} devices: {visible}")
            return [CupyDevice(number) for number in range(count)]
    except DeviceFailed as error:
        raise as_unavailable(error) from error


class CupyDevice:
    """Device by its number in this process, with its primary context."""

    def __init__(self, number: int) -> None:
        self.number = number
        with self._current():
            facts = runtime.getDeviceProperties(number)
            _, total = runtime.memGetInfo()
        capability = facts["major"] * 10 + facts["minor"]
        self.facts = DeviceFacts(
            memory_bytes=total, multiprocessors=facts["multiProcessorCount"], compute_capability=capability
        )
        module = cupy.RawModule(path=str(image_for(capability)))
        with self._current():
            self._kernels = {name: module.get_function(name) for name in KERNELS}
            for kernel in self._kernels.values():
                # Loads it: what cannot be loaded was not made for this GPU or its driver, and the GPU is not to blame.
                _ = kernel.num_regs

    def room_bytes(self) -> int:
        with self._current():
            free: int = runtime.memGetInfo()[0]
            return free

    def allocate(self, size_bytes: int) -> int:
        try:
            with self._current():
                pointer: int = runtime.malloc(size_bytes)
                return pointer
        except DeviceFailed as error:
            if error.code == OUT_OF_MEMORY:
                raise OutOfRoom(f"{size_bytes} bytes") from error
            raise

    def free(self, pointer: int) -> None:
        with self._current():
            runtime.free(pointer)

    def launch(self, kernel: str, grid: int, block: int, arguments: Sequence[Argument]) -> None:
        with self._current():
            self._kernels[kernel]((grid,), (block,), tuple(arguments))

    def wait(self) -> None:
        with self._current():
            runtime.deviceSynchronize()

    def upload(self, pointer: int, values: NDArray[Any]) -> None:
        with self._current():
            runtime.memcpy(pointer, values.ctypes.data, values.nbytes, runtime.memcpyHostToDevice)

    def download(self, pointer: int, size_bytes: int) -> bytes:
        values = np.empty(size_bytes, dtype=np.uint8)
        with self._current():
            runtime.memcpy(values.ctypes.data, pointer, size_bytes, runtime.memcpyDeviceToHost)
        return values.tobytes()

    def reaches(self, peer: Device) -> bool:
        if not isinstance(peer, CupyDevice) or not runtime.deviceCanAccessPeer(self.number, peer.number):
            return False
        try:
            with self._current():
                runtime.deviceEnablePeerAccess(peer.number)
        except DeviceFailed as error:
            if error.code != ALREADY_ENABLED:
                raise
        return True

    def copy_to_peer(self, pointer: int, peer: Device, peer_pointer: int, size_bytes: int) -> None:
        if isinstance(peer, CupyDevice):
            with self._current():
                runtime.memcpyPeer(peer_pointer, peer.number, pointer, self.number, size_bytes)
                runtime.deviceSynchronize()

    def copy_rates(self, size_bytes: int) -> dict[str, float]:
        here, there = self.allocate(size_bytes), self.allocate(size_bytes)
        pinned = self._pinned(size_bytes)
        with self._current():

            def within() -> None:
                runtime.memcpy(there, here, size_bytes, runtime.memcpyDeviceToDevice)

            def to_device() -> None:
                runtime.memcpy(here, pinned, size_bytes, runtime.memcpyHostToDevice)

            # Within the device each byte is read and written.
            rates = {"host-to-device": size_bytes / _best(to_device), "within": 2 * size_bytes / _best(within)}
            runtime.freeHost(pinned)
            runtime.free(here)
            runtime.free(there)
            return rates

    def _pinned(self, size_bytes: int) -> int:
        """Memory of the host. What it lacks of it is no fault of the device."""
        try:
            with self._current():
                pointer: int = runtime.hostAlloc(size_bytes, runtime.hostAllocDefault)
                return pointer
        except DeviceFailed as error:
            if error.code == OUT_OF_MEMORY:
                raise Unavailable(
                    NvmlCode.INSUFFICIENT_RESOURCES,
                    f"the host has no {size_bytes >> 20} MiB of memory to pin",
                    "raise the memory limit of the driver's container",
                ) from error
            raise

    @contextmanager
    def _current(self) -> Iterator[None]:
        with _named():
            runtime.setDevice(self.number)
            yield


@contextmanager
def _named() -> Iterator[None]:
    """CuPy's errors as the port's."""
    try:
        yield
    except (runtime.CUDARuntimeError, driver.CUDADriverError) as error:
        raise DeviceFailed(int(error.status), str(error)) from error


def _best(copy: Callable[[], None]) -> float:
    """Seconds of the fastest of a few, after a first one."""
    seconds = []
    for _ in range(COPIES + 1):
        began = time.perf_counter()
        copy()
        runtime.deviceSynchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _load_driver() -> None:
    """Load NVIDIA's libraries from where the node has them: CUDA asks by name, and gets what is loaded already."""
    for number, path in enumerate(filter(None, os.environ.get(LIBRARIES, "").split(os.pathsep))):
        try:
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            if number:
                # Only PTX needs it, and says so then.
                sys.stderr.write(f"{path} cannot be loaded: {error}\n")
                continue
            raise Unavailable(
                NvmlCode.LIBRARY_NOT_FOUND, f"{path} cannot be loaded: {error}", "install NVIDIA's driver anew"
            ) from error
