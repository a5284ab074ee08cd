"""Known answers: every value here is exact, so a comparison needs no tolerance.

The kernels compute the same formulas, bit for bit: kernels/answers.cuh has them in CUDA's words, and a test holds one
against the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
LongWords = NDArray[np.uint64]

PRODUCT_SIDE = 64
"""Side of the square matrices."""

HALF_OF_FORMAT: Mapping[str, int] = MappingProxyType({"fp16": 128, "bf16": 128, "e4m3": 8})
"""Factors are -half to half - 1, which the format holds exactly. Sums stay below 2^21, exact in fp32 in any order, and
those of e4m3 below 2^13: Hopper adds them up with 14 bits (DeepSeek-V3 technical report, 3.5.2)."""

FMA_STEPS = 256
FMA_TERM = 7

_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)


def pattern(seed: int, first: int, count: int) -> Words:
    """mix(i ^ seed) for `count` word addresses: closed form, so a wrong, stale or aliased word shows itself.

    mix is a bijection on 32 bits (two xor-shift-multiply rounds with odd factors): no two addresses share a value.
    What an address has above 32 bits goes into the seed, so that words 16 GiB apart differ too.
    """
    address = np.arange(first, first + count, dtype=np.uint64)
    low, high = (address & _LOW).astype(np.uint32), address >> _HIGH
    return _mix(low ^ np.uint32(seed) ^ (_mix(high.astype(np.uint32)) if high[-1:].any() else np.uint32(0)))


def _mix(i: Words) -> Words:
    i = i ^ (i >> np.uint32(16))
    i *= np.uint32(0x7FEB352D)
    i ^= i >> np.uint32(15)
    i *= np.uint32(0x846CA68B)
    i ^= i >> np.uint32(16)
    return i


def factors(seed: int, half: int = HALF_OF_FORMAT["fp16"]) -> tuple[Words, Words]:
    """Two square matrices of small integers, as words (two's complement) in row order."""
    count, mask, less = PRODUCT_SIDE * PRODUCT_SIDE, np.uint32(2 * half - 1), np.uint32(half)
    return (pattern(seed, 0, count) & mask) - less, (pattern(~seed & 0xFFFFFFFF, 0, count) & mask) - less


def product(a: Words, b: Words) -> Words:
    """a times b in fp32, as a tensor core would: the sums are integers that fp32 holds exactly. Its bits, as words:
    a faulty operand may make a sum that no integer word holds.
    """
    shape = (PRODUCT_SIDE, PRODUCT_SIDE)
    signed_a, signed_b = (words.view(np.int32).reshape(shape).astype(np.float32) for words in (a, b))
    result = signed_a @ signed_b + np.float32(0)  # a sum of nothing but negative zeros is plain zero
    return result.reshape(-1).view(np.uint32)


def exact_product(a: Words, b: Words) -> Words:
    """The same product in integers: the answer to compare with."""
    shape = (PRODUCT_SIDE, PRODUCT_SIDE)
    result = a.view(np.int32).reshape(shape).astype(np.int64) @ b.view(np.int32).reshape(shape).astype(np.int64)
    return result.astype(np.float32).reshape(-1).view(np.uint32)


def chain_starts(seed: int, first: int, count: int) -> Words:
    """Where fp32 chains start: integers below 2^20."""
    return pattern(seed, first, count) & np.uint32(0xFFFFF)


def long_chain_starts(seed: int, first: int, count: int) -> LongWords:
    """Where fp64 chains start: integers below 2^50."""
    high = pattern(~seed & 0xFFFFFFFF, first, count) & np.uint32(0x3FFFF)
    return high.astype(np.uint64) << _HIGH | pattern(seed, first, count)


def fma_chain(start: Words) -> Words:
    """x = 3 x + FMA_TERM - 2 x in fp32, FMA_STEPS times, all on integers below 2^24. Its bits, as words."""
    return _chained(start.astype(np.float32)).view(np.uint32)


def exact_fma_chain(start: Words) -> Words:
    """Where the chain ends: each step adds FMA_TERM."""
    return (start.astype(np.int64) + FMA_TERM * FMA_STEPS).astype(np.float32).view(np.uint32)


def long_fma_chain(start: LongWords) -> LongWords:
    """The same chain in fp64, on integers below 2^53."""
    return _chained(start.astype(np.float64)).view(np.uint64)


def exact_long_fma_chain(start: LongWords) -> LongWords:
    """Where it ends."""
    return (start.astype(np.int64) + FMA_TERM * FMA_STEPS).astype(np.float64).view(np.uint64)


def _chained(x: NDArray[np.floating]) -> NDArray[np.floating]:
    three, two, term = (x.dtype.type(value) for value in (3, 2, FMA_TERM))
    for _ in range(FMA_STEPS):
        x = (x * three + term) - x * two
    return x
