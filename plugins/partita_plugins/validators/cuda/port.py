"""A CUDA device as the checks need it. CuPy's is in validators.cupy, one on the CPU in testing.gpu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from partita_plugins.errors import NvmlCode

Argument = np.uint32 | np.uint64
"""Of a kernel: numbers by their width, pointers as 64 bits."""


class DeviceFailed(Exception):
    """The device, or its driver, answered a call with an error; nothing more can be asked of it in this process."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"CUDA error {code}: {message}")
        self.code = code


class OutOfRoom(Exception):
    """There is not that much memory left."""


class Unavailable(Exception):
    """Nothing can be computed here, and it is not the device's fault: what is missing, and what to do."""

    def __init__(self, code: NvmlCode, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.code, self.advice = code, advice


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """What a device says of itself."""

    memory_bytes: int
    """All that a program sees, its own context's share included."""

    multiprocessors: int
    compute_capability: int
    """90 for 9.0."""


class Device(Protocol):
    """One device with a context in this process. Every call may raise DeviceFailed."""

    facts: DeviceFacts

    def room_bytes(self) -> int:
        """What can still be allocated, by and large."""

    def allocate(self, size_bytes: int) -> int:
        """Address of new memory, aligned for any access. Raises OutOfRoom."""

    def free(self, pointer: int) -> None:
        """Give it back."""

    def launch(self, kernel: str, grid: int, block: int, arguments: Sequence[Argument]) -> None:
        """Begin a kernel of validators/kernels; what is launched later waits for it."""

    def wait(self) -> None:
        """Until all that was launched has ended."""

    def upload(self, pointer: int, values: NDArray[Any]) -> None:
        """Copy from the host."""

    def download(self, pointer: int, size_bytes: int) -> bytes:
        """Copy to the host."""

    def reaches(self, peer: Device) -> bool:
        """Whether it can copy directly to another device that was opened with it; prepares for it."""

    def copy_to_peer(self, pointer: int, peer: Device, peer_pointer: int, size_bytes: int) -> None:
        """Copy directly to another device's memory, and wait for it."""

    def copy_rates(self, size_bytes: int) -> dict[str, float]:
        """Bytes per second of copies of that size: "host-to-device" and, read and written together, "within"."""


class Opener(Protocol):
    """Makes CUDA devices of a process; imported before it is known which."""

    def __call__(self, visible: Sequence[str], /) -> Sequence[Device]:
        """Open the devices by CUDA UUID, in this order. Raises Unavailable, or DeviceFailed."""
