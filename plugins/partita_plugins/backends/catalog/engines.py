"""Copy and media engines of each MIG profile, by the profile's NVML enum: one table an axis and generation.

Read in `nvidia-smi mig -lgip` outputs. Inferred rows were not found published and follow their neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Engines:
    """How many of each kind one GPU instance gets."""

    copy: int
    decoder: int
    encoder: int
    jpeg: int
    ofa: int
    """Optical flow accelerators."""


EngineTable = Mapping[int, Engines]

A100: EngineTable = {
    0: Engines(1, 0, 0, 0, 0),
    7: Engines(1, 1, 0, 1, 1),
    9: Engines(1, 1, 0, 0, 0),
    1: Engines(2, 1, 0, 0, 0),
    2: Engines(3, 2, 0, 0, 0),
    3: Engines(4, 2, 0, 0, 0),
    4: Engines(7, 5, 0, 1, 1),
}

A30: EngineTable = {
    0: Engines(1, 0, 0, 0, 0),
    7: Engines(1, 1, 0, 1, 1),
    1: Engines(2, 2, 0, 0, 0),
    8: Engines(2, 2, 0, 1, 1),
    3: Engines(4, 4, 0, 1, 1),
}

HOPPER: EngineTable = {
    0: Engines(1, 1, 0, 1, 0),
    7: Engines(1, 1, 0, 1, 1),
    9: Engines(1, 1, 0, 1, 0),
    1: Engines(2, 2, 0, 2, 0),
    2: Engines(3, 3, 0, 3, 0),
    3: Engines(4, 4, 0, 4, 0),
    4: Engines(8, 7, 0, 7, 1),
}

B200: EngineTable = {
    0: Engines(2, 1, 0, 1, 0),
    7: Engines(2, 1, 0, 1, 1),
    9: Engines(2, 1, 0, 1, 0),
    1: Engines(4, 2, 0, 2, 0),
    2: Engines(6, 3, 0, 3, 0),  # inferred
    3: Engines(8, 4, 0, 4, 0),  # inferred
    4: Engines(16, 7, 0, 7, 1),  # inferred but for the copy engines
}

RTX_PRO_6000: EngineTable = {
    0: Engines(1, 1, 1, 1, 0),
    7: Engines(1, 1, 1, 1, 1),
    10: Engines(1, 1, 1, 1, 0),
    15: Engines(1, 4, 4, 4, 1),
    13: Engines(1, 0, 0, 0, 0),
    1: Engines(2, 2, 2, 2, 0),
    11: Engines(2, 2, 2, 2, 0),
    16: Engines(2, 4, 4, 4, 1),
    14: Engines(2, 0, 0, 0, 0),
    3: Engines(4, 4, 4, 4, 1),
    12: Engines(4, 4, 4, 4, 1),
}
