"""Sets of small numbers as masks."""

from __future__ import annotations

from collections.abc import Iterator


def places(mask: int) -> Iterator[int]:
    """The numbers in it, ascending."""
    return (place for place in range(mask.bit_length()) if mask >> place & 1)


def subsets(mask: int) -> Iterator[int]:
    """All masks within it, the empty one last."""
    found = mask
    while found:
        yield found
        found = (found - 1) & mask
    yield 0
