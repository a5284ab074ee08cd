"""A CUDA device on the CPU: its memory is a simulated GPU's, its kernels the real ones' source."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partita_plugins.backends.simulated import faults
from partita_plugins.backends.simulated.memory import SimulatedMemory
from partita_plugins.errors import BackendError
from partita_plugins.testing.gpu.kernels import Fault, HostKernels, Machine
from partita_plugins.validators.cuda.port import Argument, Device, DeviceFacts, DeviceFailed, OutOfRoom

SMALL_BYTES = 2**17
"""Less than that comes out of the context's own memory, which a program cannot have."""

ALIGNED_BYTES = 256
WORD = 4
COPY_BYTES = 2**20

EFFECTS = {
    "wrong-bit": Fault.WRONG_BIT,
    "nan": Fault.NOT_A_NUMBER,
    "swapped-lanes": Fault.SWAPPED_LANES,
    "idle": Fault.IDLE,
    "low-bit": Fault.LOW_BIT,
}


class HostDevice:
    """Device over simulated memory. Stuck bits take hold when a kernel or a copy has ended."""

    def __init__(
        self,
        memory: SimulatedMemory,
        kernels: HostKernels,
        *,
        uuid: str,
        compute_capability: int,
        link: Callable[[str, str], bool],
        hang: Callable[[], None],
    ) -> None:
        """`link` says whether what two GPUs copy to each other arrives as it was; `hang` is what a launch meets."""
        self._memory, self._kernels, self._link, self._hang = memory, kernels, link, hang
        self.uuid = uuid
        self.facts = DeviceFacts(
            memory_bytes=memory.memory_mib << 20,
            multiprocessors=memory.multiprocessors,
            compute_capability=compute_capability,
        )
        self._base = memory.window.ctypes.data
        self._taken: dict[int, int] = {}
        self._own: dict[int, NDArray[np.uint8]] = {}

    def room_bytes(self) -> int:
        return self._memory.words * WORD - sum(self._taken.values())

    def allocate(self, size_bytes: int) -> int:
        if size_bytes < SMALL_BYTES:
            own = np.zeros(size_bytes + ALIGNED_BYTES, dtype=np.uint8)
            pointer = -(-own.ctypes.data // ALIGNED_BYTES) * ALIGNED_BYTES
            self._own[pointer] = own
            return pointer
        begin = max((pointer + size for pointer, size in self._taken.items()), default=self._base)
        if begin + size_bytes > self._base + self._memory.words * WORD:
            raise OutOfRoom(f"{size_bytes} bytes")
        self._taken[begin] = size_bytes
        return begin

    def free(self, pointer: int) -> None:
        if self._own.pop(pointer, None) is None:
            del self._taken[pointer]

    def launch(self, kernel: str, grid: int, block: int, arguments: Sequence[Argument]) -> None:
        self._hang()
        self._kernels.launch(self._machine(), kernel, grid, block, arguments)
        self._stick()

    def wait(self) -> None:
        self._faults()

    def upload(self, pointer: int, values: NDArray[Any]) -> None:
        if (places := self._wired(pointer, values.nbytes)) is None:
            ctypes.memmove(pointer, values.ctypes.data, values.nbytes)
        else:
            self._memory.window[places] = values.reshape(-1).view(np.uint32)
        self._stick()

    def download(self, pointer: int, size_bytes: int) -> bytes:
        if (places := self._wired(pointer, size_bytes)) is None:
            return ctypes.string_at(pointer, size_bytes)
        return self._memory.window[places].tobytes()

    def reaches(self, peer: Device) -> bool:
        return isinstance(peer, HostDevice)

    def copy_to_peer(self, pointer: int, peer: Device, peer_pointer: int, size_bytes: int) -> None:
        values = np.frombuffer(self.download(pointer, size_bytes), dtype=np.uint32).copy()
        if isinstance(peer, HostDevice) and not self._link(self.uuid, peer.uuid):
            values[len(values) // 2] ^= 1
        peer.upload(peer_pointer, values)

    def copy_rates(self, size_bytes: int) -> dict[str, float]:
        values = np.zeros(min(size_bytes, COPY_BYTES), dtype=np.uint8)
        began = time.perf_counter()
        values.copy()
        return {"host-to-device": values.nbytes / (time.perf_counter() - began)}

    def _wired(self, pointer: int, size_bytes: int) -> NDArray[np.intp] | None:
        """Which words a copy really reaches, where a line is stuck: it has no other way to the memory than kernels."""
        lines = [fault.line for fault in self._faults() if isinstance(fault, faults.StuckLine)]
        first, memory_bytes = pointer - self._base, self._memory.words * WORD
        if not lines or not 0 <= first < memory_bytes:
            return None
        places = np.arange(first // WORD, (first + size_bytes) // WORD)
        for line in lines:
            places &= ~(1 << line)
        return places

    def _machine(self) -> Machine:
        machine = Machine(
            multiprocessors=max(1, self.facts.multiprocessors),
            memory=self._base,
            memory_bytes=self._memory.words * WORD,
        )
        for fault in self._faults():
            match fault:
                case faults.StuckLine(line=line):
                    machine = replace(machine, stuck_line=line)
                case faults.FaultyMultiprocessor(effect=effect, multiprocessor=number, memory_slice=part):
                    if faults.hits(part, self._memory.placement):
                        machine = replace(machine, fault=EFFECTS[effect], faulty_multiprocessor=number)
        return machine

    def _stick(self) -> None:
        words, first = self._memory.window, self._memory.first
        for fault in self._faults():
            if isinstance(fault, faults.StuckBit) and first <= fault.word < first + len(words):
                mask = np.uint32(1 << fault.bit)
                word = words[fault.word - first]
                words[fault.word - first] = word | mask if fault.value else word & ~mask

    def _faults(self) -> tuple[faults.Fault, ...]:
        """Of the GPU now; one that is lost fails every call."""
        try:
            return self._memory.faults()
        except BackendError as error:
            raise DeviceFailed(719, str(error)) from error
