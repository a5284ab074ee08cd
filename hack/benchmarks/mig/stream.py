"""Pods as they come and go: Poisson arrivals, exponential lifetimes, a share of each shape."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from hack.benchmarks.mig.geometry import GPUS, SHAPES, SIZES, SLICES

MIXES: dict[str, tuple[float, ...]] = {
    "uniform": (0.2, 0.2, 0.2, 0.2, 0.2),
    "small": (0.5, 0.25, 0.15, 0.05, 0.05),
    "big": (0.1, 0.1, 0.2, 0.25, 0.35),
    "bimodal": (0.4, 0.1, 0.05, 0.1, 0.35),
}
"""Shares of 1g, 2g, 3g, 4g and 7g."""

ARRIVALS, WARM_UP = 25_000, 5_000


class Arrival(NamedTuple):
    """One pod; times in lifetimes."""

    at: float
    shape: str
    lifetime: float


def stream(mix: str, load: float, nodes: int, seed: int, arrivals: int) -> Iterator[Arrival]:
    """The same for every policy. `load` is what is offered in memory slices, as a share of all there are."""
    draw = random.Random(f"{mix} {load} {nodes} {seed}")
    shares = MIXES[mix]
    mean = sum(share * SIZES[shape] for share, shape in zip(shares, SHAPES, strict=True))
    rate = load * nodes * GPUS * SLICES / mean
    at = 0.0
    for _ in range(arrivals):
        at += draw.expovariate(rate)
        yield Arrival(at, draw.choices(SHAPES, shares)[0], draw.expovariate(1.0))
