"""A simulated device whose memory takes its time: its clock goes on with each word that a kernel writes or reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from partita_plugins.testing.gpu.device import HostDevice
from partita_plugins.validators.cuda.port import Argument

KERNELS = ("fill", "check")
PHASES = 4
"""Of a look: fill and check, with the pattern and with its complement."""

WHOLE_SECONDS = 0.4
"""That all of them take for all of the memory: a hundred times what a validator sizes its kernels for."""


class Paced(HostDevice):
    """Remembers which words went through which phases. Nothing but memory's kernels takes time."""

    _seconds = 0.0

    def clock(self) -> float:
        """Seconds that its kernels have taken."""
        return self._seconds

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Of each word, whether it went through all phases."""
        return np.asarray(self._phases == (1 << PHASES) - 1)

    def launch(self, kernel: str, grid: int, block: int, arguments: Sequence[Argument]) -> None:
        super().launch(kernel, grid, block, arguments)
        if kernel in KERNELS:
            _pointer, first, count, _seed, inverted = (int(argument) for argument in arguments[:5])
            self._seconds += WHOLE_SECONDS / PHASES * count / len(self._phases)
            self._phases[first : first + count] |= 1 << (KERNELS.index(kernel) + (2 if inverted else 0))

    @cached_property
    def _phases(self) -> NDArray[np.uint8]:
        return np.zeros(self._memory.words, dtype=np.uint8)
