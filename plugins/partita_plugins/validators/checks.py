"""What is checked beside memory content: the figures a device reports, and exact arithmetic on words it stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from partita_plugins.contracts import DeviceMemory, ValidationTarget
from partita_plugins.validators import answers
from partita_plugins.validators.answers import Words
from partita_plugins.validators.findings import wrong_memory_size, wrong_multiprocessors

WORDS_OF_CHECK = 4 * answers.PRODUCT_SIDE**2
"""Memory that check_compute uses: two factors, the product, the chains."""

WORDS_OF_COPY = 2**12
"""What check_copy copies."""


def check_figures(memory: DeviceMemory, target: ValidationTarget) -> Iterator[str]:
    """Memory size and multiprocessors against what was promised."""
    if memory.memory_mib != target.memory_mib:
        yield wrong_memory_size(memory.memory_mib, target.memory_mib)
    if memory.multiprocessors != target.multiprocessors:
        yield wrong_multiprocessors(memory.multiprocessors, target.multiprocessors)


def check_compute(memory: DeviceMemory, seed: int, offset: int) -> Iterator[str]:
    """A matrix product and a chain of multiply-adds, with operands and results in the device's memory at `offset`."""
    a, b = answers.factors(seed)
    area = len(a)
    stored_a, stored_b = _kept(memory, offset, a), _kept(memory, offset + area, b)
    result = _kept(memory, offset + 2 * area, answers.product(stored_a, stored_b))
    yield from _differences("matrix product", result, answers.exact_product(a, b))
    starts = answers.chain_starts(seed, 0, area)
    stored_starts = _kept(memory, offset + 3 * area, starts)
    chained = _kept(memory, offset + 3 * area, answers.fma_chain(stored_starts))
    yield from _differences("multiply-add chain", chained, answers.exact_fma_chain(starts))


def check_copy(
    source: DeviceMemory, destination: DeviceMemory, across: Callable[[Words], Words], seed: int
) -> Iterator[str]:
    """Words at the start of one device's memory, copied to another's; `across` is what arrives of them."""
    words = answers.pattern(seed, 0, WORDS_OF_COPY)
    yield from _differences("copy", _kept(destination, 0, across(_kept(source, 0, words))), words)


def _kept(memory: DeviceMemory, offset: int, values: Words) -> Words:
    memory.write(offset, values)
    return memory.read(offset, len(values))


def _differences(what: str, got: Words, expected: Words) -> Iterator[str]:
    wrong = np.flatnonzero(got != expected)
    if len(wrong):
        first = wrong[0]
        yield f"{what}: element {first} is {got[first]}, expected {expected[first]} ({len(wrong)} of {len(got)} differ)"
