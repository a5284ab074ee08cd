"""What a caller may choose about the simulated hardware."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long calls take, in seconds. Slept outside of all locks: different GPUs go side by side."""

    create_seconds: float = 0.0
    """Of a GPU instance or a compute instance each, and of a switch of MIG mode, on or off."""

    destroy_seconds: float = 0.0
    """Of a GPU instance or a compute instance each."""

    query_seconds: float = 0.0
    """Of what only looks, and of a time slice."""


WORDS_PER_GPU = 2**20
"""32-bit words of memory that are backed by storage, spread evenly over a GPU's memory slices."""
