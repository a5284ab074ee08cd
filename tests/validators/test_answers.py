"""Known answers are exact, whatever the seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.validators import answers

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(0, 2**32 - 300), st.integers(1, 256))
def test_a_pattern_can_be_asked_for_in_parts(seed: int, first: int, count: int) -> None:
    whole = answers.pattern(seed, first, count)
    assert (answers.pattern(seed, first + count // 2, count - count // 2) == whole[count // 2 :]).all()


def test_a_pattern_is_this_one_on_every_machine() -> None:
    """Fixed so that kernels elsewhere can be held against it; computed by hand in Python integers."""

    def mix(value: int) -> int:
        value ^= value >> 16
        value = value * 0x7FEB352D & 0xFFFFFFFF
        value ^= value >> 15
        value = value * 0x846CA68B & 0xFFFFFFFF
        return value ^ value >> 16

    assert answers.pattern(0xABCD, 1000, 50).tolist() == [mix(i ^ 0xABCD) for i in range(1000, 1050)]


@given(SEEDS)
def test_no_two_addresses_share_a_value(seed: int) -> None:
    assert len(np.unique(answers.pattern(seed, 0, 2**12))) == 2**12


@given(SEEDS, st.sampled_from(sorted(answers.HALF_OF_FORMAT.values())))
def test_floating_point_gives_the_integers(seed: int, half: int) -> None:
    a, b = answers.factors(seed, half)
    assert (answers.product(a, b) == answers.exact_product(a, b)).all()
    starts, long_starts = answers.chain_starts(seed, 0, 64), answers.long_chain_starts(seed, 0, 64)
    assert (answers.fma_chain(starts) == answers.exact_fma_chain(starts)).all()
    assert (answers.long_fma_chain(long_starts) == answers.exact_long_fma_chain(long_starts)).all()


def test_the_numbers_stay_where_the_formats_are_exact() -> None:
    """Largest sums of products, and largest value on the way of a chain; 14 bits are what Hopper adds fp8 up with."""
    bits = {name: (half * half * answers.PRODUCT_SIDE).bit_length() for name, half in answers.HALF_OF_FORMAT.items()}
    assert bits.pop("e4m3") < 14
    assert max(bits.values()) <= 24
    most = answers.FMA_TERM * answers.FMA_STEPS
    assert 3 * (2**20 + most) + answers.FMA_TERM < 2**24
    assert 3 * (2**50 + most) + answers.FMA_TERM < 2**53


def test_a_faulty_operand_makes_a_wrong_answer_and_nothing_worse() -> None:
    """A sum that no integer word holds is still just different bits."""
    a, b = answers.factors(1)
    expected = answers.exact_product(a, b)
    a[0] ^= np.uint32(1 << 31)
    b[:] ^= np.uint32(1 << 31)
    assert (answers.product(a, b) != expected).any()
    starts = answers.chain_starts(1, 0, 64)
    assert (answers.fma_chain(starts ^ np.uint32(1 << 31)) != answers.exact_fma_chain(starts)).any()
