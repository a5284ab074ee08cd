"""What several devices copy directly to each other, compared by the one that gets it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from partita_plugins.validators.cuda.budget import Budget
from partita_plugins.validators.cuda.compute import judged
from partita_plugins.validators.cuda.memory import THREADS, WORD
from partita_plugins.validators.cuda.port import Device
from partita_plugins.validators.cuda.report import ReportBuffer

COPY_BYTES = 64 << 20
"""A copy: enough for every link of a wide one to carry a part."""


class Copies:
    """Every ordered pair of some devices, each with what it sends and room for what it gets."""

    def __init__(self, devices: Sequence[Device], uuids: Sequence[str], seed: int) -> None:
        self._devices, self._uuids, self._seed = devices, uuids, seed
        self.left = len(devices) * (len(devices) - 1)
        """Pairs that were not looked at yet."""

        size = min(COPY_BYTES, *(device.room_bytes() // 4 for device in devices))
        self._words = size // WORD // 4 * 4
        self._sent = [device.allocate(self._words * WORD) for device in devices]
        self._got = [device.allocate(self._words * WORD) for device in devices]

    def findings(self, budget: Budget) -> Iterator[str]:
        """A sentence for each pair that cannot reach each other, or whose copy arrives wrong."""
        for number in range(len(self._devices)):
            self._launch("fill", number, self._sent[number], self._of(number))
        for source, destination in itertools.permutations(range(len(self._devices)), 2):
            if budget.over():
                return
            pair = f"{self._uuids[source]} to {self._uuids[destination]}"
            yield from (f"{pair}: {wrong}" for wrong in self._copied(source, destination))
            self.left -= 1

    def _copied(self, source: int, destination: int) -> Iterator[str]:
        device, peer = self._devices[source], self._devices[destination]
        if not device.reaches(peer):
            yield "neither NVLink nor PCIe lets one reach the other's memory"
            return
        # What an earlier copy left must not pass for this one.
        self._launch("fill", destination, self._got[destination], self._of(source), inverted=0xFFFFFFFF)
        peer.wait()
        device.wait()
        device.copy_to_peer(self._sent[source], peer, self._got[destination], self._words * WORD)
        report = ReportBuffer(peer)
        self._launch("check", destination, self._got[destination], self._of(source), report=report)
        yield from judged("copy", report.read(), self._words)
        report.free()

    def _of(self, number: int) -> int:
        """Each device's words are its own."""
        return (self._seed + number) & 0xFFFFFFFF

    def _launch(
        self,
        kernel: str,
        number: int,
        pointer: int,
        seed: int,
        *,
        inverted: int = 0,
        report: ReportBuffer | None = None,
    ) -> None:
        device = self._devices[number]
        arguments = (np.uint64(pointer), np.uint64(0), np.uint64(self._words), np.uint32(seed), np.uint32(inverted))
        reported = (report.pointer,) if report else ()
        device.launch(kernel, 8 * device.facts.multiprocessors, THREADS, (*arguments, *reported))
