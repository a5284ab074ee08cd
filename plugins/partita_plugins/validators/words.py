"""Words of a device's memory, told by where they stand. Imports nothing: the children that compute share it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive words."""

    first: int
    count: int
