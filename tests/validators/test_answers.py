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


@given(SEEDS)
def test_floating_point_gives_the_integers(seed: int) -> None:
    a, b = answers.factors(seed)
    assert (answers.product(a, b) == answers.exact_product(a, b)).all()
    assert (answers.fma_chain(a) == answers.exact_fma_chain(a)).all()


def test_the_numbers_stay_where_fp32_is_exact() -> None:
    """Largest sum of a product, and largest value on the way of a chain, below 2^24."""
    assert 7 * 7 * answers.PRODUCT_SIDE < 2**24
    assert 3 * (7 + answers.FMA_TERM * answers.FMA_STEPS) + answers.FMA_TERM < 2**24


def test_a_faulty_operand_makes_a_wrong_answer_and_nothing_worse() -> None:
    """A sum that no integer word holds is still just different bits."""
    a, b = answers.factors(1)
    expected = answers.exact_product(a, b)
    a[0] |= np.uint32(1 << 31)
    b[:] |= np.uint32(1 << 31)
    assert (answers.product(a, b) != expected).any()
    assert (answers.fma_chain(a) != answers.exact_fma_chain(answers.factors(1)[0])).any()
