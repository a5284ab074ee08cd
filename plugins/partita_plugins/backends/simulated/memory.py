"""Device memory that is really written and read, with the stuck bits that were planted in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from partita_plugins.backends.simulated.faults import (
    Fault,
    MissingMultiprocessor,
    StuckBit,
    StuckLine,
    WrongMemorySize,
    hits,
)
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.mig import Placement

_Sized = TypeVar("_Sized", WrongMemorySize, MissingMultiprocessor)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedMemory:
    """The words that one device covers: a window on its GPU's memory."""

    window: NDArray[np.uint32]
    """A view, shared with every other device that covers these words."""

    first: int
    """Address of the window's first word on the GPU."""

    placement: Placement | None
    """None for a whole GPU."""

    promised_memory_mib: int
    promised_multiprocessors: int
    faults: Callable[[], tuple[Fault, ...]]
    """The faults of the GPU now. Raises BackendError when the GPU is lost."""

    @property
    def words(self) -> int:
        return len(self.window)

    @property
    def memory_mib(self) -> int:
        missing = (fault.missing_mib for fault in self._hitting(WrongMemorySize))
        return max(0, self.promised_memory_mib - sum(missing))

    @property
    def multiprocessors(self) -> int:
        missing = (fault.count for fault in self._hitting(MissingMultiprocessor))
        return max(0, self.promised_multiprocessors - sum(missing))

    def write(self, offset: int, values: NDArray[np.uint32]) -> None:
        self._check(offset, len(values))
        self.window[self._wired(offset, len(values), self.faults())] = values

    def read(self, offset: int, count: int) -> NDArray[np.uint32]:
        self._check(offset, count)
        faults = self.faults()
        values = np.array(self.window[self._wired(offset, count, faults)])
        for fault in faults:
            if isinstance(fault, StuckBit) and offset <= fault.word - self.first < offset + count:
                index, mask = fault.word - self.first - offset, np.uint32(1 << fault.bit)
                values[index] = values[index] | mask if fault.value else values[index] & ~mask
        return values

    def _hitting(self, kind: type[_Sized]) -> list[_Sized]:
        return [one for one in self.faults() if isinstance(one, kind) and hits(one.memory_slice, self.placement)]

    def _wired(self, offset: int, count: int, faults: tuple[Fault, ...]) -> slice | NDArray[np.int64]:
        """Where words really are."""
        stuck = [1 << fault.line for fault in faults if isinstance(fault, StuckLine)]
        if not stuck:
            return slice(offset, offset + count)
        return np.arange(offset, offset + count) & ~sum(set(stuck))

    def _check(self, offset: int, count: int) -> None:
        if offset < 0 or count < 0 or offset + count > self.words:
            raise BackendError(
                NvmlCode.INVALID_ARGUMENT, f"words {offset} to {offset + count} are outside of {self.words}"
            )
