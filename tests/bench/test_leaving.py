"""Bound pods of which only so many stay."""

from __future__ import annotations

import pytest
from hack.benchmarks.leaving import leaving

NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize(("stay", "dropped"), [(None, []), (4, []), (2, ["a", "b"])])
def test_the_first_ones_go_once_there_are_more_than_may_stay(stay: int | None, dropped: list[str]) -> None:
    gone: list[str] = []
    with leaving(stay, gone.append) as bound:
        for name in NAMES:
            bound(name)
    assert sorted(gone) == dropped


def test_one_that_cannot_go_is_told_of() -> None:
    def refused(name: str) -> None:
        raise ValueError(name)

    def two() -> None:
        with leaving(1, refused) as bound:
            bound("a")
            bound("b")

    with pytest.raises(ValueError, match="a"):
        two()
