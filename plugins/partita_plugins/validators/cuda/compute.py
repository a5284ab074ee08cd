"""Arithmetic: tensor-core products and chains of multiply-adds on every multiprocessor, with two seeds and grids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from partita_plugins.validators import answers
from partita_plugins.validators.cuda.port import Argument, Device
from partita_plugins.validators.cuda.report import ReportBuffer, Reported

CAPABILITY_OF_FORMAT: Mapping[str, int] = MappingProxyType({"fp16": 75, "bf16": 80, "e4m3": 89})
"""From which compute capability on tensor cores multiply it (PTX ISA, mma)."""

THREADS = 128
"""Of a block: four warps, one for each quarter of a multiprocessor."""

TILE = 16 * 8
"""Elements of a product that a warp makes and compares at a time."""

ATTEMPTS = 4
"""Launches until each multiprocessor has had a block: how blocks are spread is nobody's promise."""


class Arithmetic:
    """All kernels but memory's, on one device."""

    def __init__(self, device: Device, *, rounds: int, shared: bool) -> None:
        self._device, self._rounds, self._shared = device, rounds, shared
        self._report = ReportBuffer(device)
        self._took_part: frozenset[int] = frozenset()

    def findings(self, seed: int) -> Iterator[str]:
        """What is wrong; a sentence for each kernel that got something wrong."""
        count = self._device.facts.multiprocessors
        for one, grid in ((seed, count), (~seed & 0xFFFFFFFF, 2 * count + 1)):
            yield from self._chains(one, grid, "fp32")
            yield from self._chains(one, grid, "fp64")
            for name, capability in CAPABILITY_OF_FORMAT.items():
                if self._device.facts.compute_capability >= capability:
                    yield from self._products(one, grid, name)
        if not self._shared:
            yield from self._idle(seed)
        self._report.free()

    def _chains(self, seed: int, grid: int, name: str) -> Iterator[str]:
        count = grid * THREADS * self._rounds
        arguments = (np.uint32(seed), np.uint64(count), np.uint64(0))
        yield from self._launched(f"chain_{name}", grid, count, arguments)

    def _products(self, seed: int, grid: int, name: str) -> Iterator[str]:
        expected = answers.exact_product(*answers.factors(seed, answers.HALF_OF_FORMAT[name]))
        pointer = self._device.allocate(expected.nbytes)
        self._device.upload(pointer, expected)
        count = grid * THREADS // 32 * self._rounds * TILE
        arguments = (np.uint32(seed), np.uint32(self._rounds), np.uint64(pointer), np.uint64(0))
        yield from self._launched(f"product_{name}", grid, count, arguments)
        self._device.free(pointer)

    def _launched(self, kernel: str, grid: int, count: int, arguments: tuple[Argument, ...]) -> Iterator[str]:
        self._report.reset()
        self._device.launch(kernel, grid, THREADS, (*arguments, self._report.pointer))
        found = self._report.read()
        self._took_part |= found.multiprocessors
        yield from judged(kernel, found, count)

    def _idle(self, seed: int) -> Iterator[str]:
        there = self._device.facts.multiprocessors
        for attempt in range(1, ATTEMPTS):
            if len(self._took_part) >= there:
                return
            yield from self._chains(seed, 8 * attempt * there, "fp32")
        if len(self._took_part) < there:
            yield f"{len(self._took_part)} of {there} multiprocessors took part in what all should compute"


def judged(kernel: str, found: Reported, count: int) -> Iterator[str]:
    """What a kernel's report means, where `count` results had to be compared."""
    name = kernel.replace("_", " ")
    if found.errors and found.kept:
        first = found.kept[0]
        who = sorted({one.multiprocessor for one in found.kept})
        where = f"multiprocessor {who[0]}" if len(who) == 1 else f"{len(who)} multiprocessors or more"
        yield (
            f"{name}: element {first.place} is {first.got:#x}, expected {first.expected:#x}"
            f" ({found.errors} of {count} are wrong, on {where})"
        )
    if found.checked != count:
        yield f"{name}: {found.checked} results were compared, {count} should have been"
