"""Known answers: every value here is exact, so a comparison needs no tolerance.

The same formulas, bit for bit, are what a GPU kernel has to compute.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

PRODUCT_SIDE = 64
"""Side of the square matrices. Entries are below 8, so sums stay below 2^12: exact in fp32 in any order."""

FMA_STEPS = 256
FMA_TERM = 7


def pattern(seed: int, first: int, count: int) -> Words:
    """mix(i ^ seed) for `count` word addresses: closed form, so a wrong, stale or aliased word shows itself.

    mix is a bijection on 32 bits (two xor-shift-multiply rounds with odd factors): no two addresses share a value.
    """
    i = np.arange(first, first + count, dtype=np.uint32) ^ np.uint32(seed)
    i ^= i >> np.uint32(16)
    i *= np.uint32(0x7FEB352D)
    i ^= i >> np.uint32(15)
    i *= np.uint32(0x846CA68B)
    i ^= i >> np.uint32(16)
    return i


def factors(seed: int) -> tuple[Words, Words]:
    """Two square matrices of small integers, as words in row order."""
    side = PRODUCT_SIDE * PRODUCT_SIDE
    return pattern(seed, 0, side) % np.uint32(8), pattern(~seed & 0xFFFFFFFF, 0, side) % np.uint32(8)


def product(a: Words, b: Words) -> Words:
    """a times b in fp32, as a tensor core would: the sums are integers that fp32 holds exactly. Its bits, as words:
    a faulty operand may make a sum that no integer word holds.
    """
    shape = (PRODUCT_SIDE, PRODUCT_SIDE)
    result = a.reshape(shape).astype(np.float32) @ b.reshape(shape).astype(np.float32)
    return result.reshape(-1).view(np.uint32)


def exact_product(a: Words, b: Words) -> Words:
    """The same product in integers: the answer to compare with."""
    shape = (PRODUCT_SIDE, PRODUCT_SIDE)
    result = a.reshape(shape).astype(np.int64) @ b.reshape(shape).astype(np.int64)
    return result.astype(np.float32).reshape(-1).view(np.uint32)


def fma_chain(start: Words) -> Words:
    """x = 3 x + FMA_TERM - 2 x in fp32, FMA_STEPS times, all on integers below 2^24. Its bits, as words."""
    x = start.astype(np.float32)
    three, two, term = np.float32(3), np.float32(2), np.float32(FMA_TERM)
    for _ in range(FMA_STEPS):
        x = (x * three + term) - x * two
    return x.view(np.uint32)


def exact_fma_chain(start: Words) -> Words:
    """Where the chain ends: each step adds FMA_TERM."""
    return (start.astype(np.int64) + FMA_TERM * FMA_STEPS).astype(np.float32).view(np.uint32)
