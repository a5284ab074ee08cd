"""Where kernels note what they compared: the Report of kernels/answers.cuh, and words for what it holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from partita_plugins.validators.cuda.port import Device

MULTIPROCESSORS_MAX = 1024
ERRORS_KEPT = 64

REPORT = np.dtype(
    [
        ("checked", np.uint64),
        ("errors", np.uint64),
        ("multiprocessors", np.uint32, MULTIPROCESSORS_MAX // 32),
        (
            "kept",
            [("place", np.uint64), ("got", np.uint64), ("expected", np.uint64), ("multiprocessor", np.uint64)],
            ERRORS_KEPT,
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """One result that is not as it should be."""

    place: int
    got: int
    expected: int
    multiprocessor: int


@dataclass(frozen=True, slots=True)
class Reported:
    """What the kernels since the last reset have noted."""

    checked: int
    """Results that were compared."""

    errors: int
    multiprocessors: frozenset[int]
    """Those that took part."""

    kept: tuple[Wrong, ...]
    """The first few errors, in no order that means anything."""


class ReportBuffer:
    """A report in a device's memory."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.pointer = np.uint64(device.allocate(REPORT.itemsize))
        self.reset()

    def reset(self) -> None:
        """Forget all."""
        self._device.upload(int(self.pointer), np.zeros(1, dtype=REPORT))

    def read(self) -> Reported:
        """What was noted until now; waits for what was launched."""
        (found,) = np.frombuffer(self._device.download(int(self.pointer), REPORT.itemsize), dtype=REPORT)
        bits = np.unpackbits(found["multiprocessors"].view(np.uint8), bitorder="little")
        kept = found["kept"][: min(int(found["errors"]), ERRORS_KEPT)]
        return Reported(
            checked=int(found["checked"]),
            errors=int(found["errors"]),
            multiprocessors=frozenset(np.flatnonzero(bits).tolist()),
            kept=tuple(Wrong(*(int(value) for value in error)) for error in kept),
        )

    def free(self) -> None:
        self._device.free(int(self.pointer))
