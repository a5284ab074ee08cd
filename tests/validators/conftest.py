"""Simulated H100s with little memory, and their devices as a validator is told of them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from partita_plugins.backends.simulated import SimulatedBackend, open_backend
from partita_plugins.contracts import ValidationTarget
from partita_plugins.model.mig import Placement
from partita_plugins.validators.reference import ReferenceValidator
from tests.validators.partitions import made_partition


@pytest.fixture
def node(tmp_path: Path) -> SimulatedBackend:
    return open_backend(tmp_path, "hgx-h100", seed="node-a", words=2**19)


@pytest.fixture
def validator(node: SimulatedBackend) -> ReferenceValidator:
    """On a clock that ticks a microsecond at each look, however busy the machine is."""
    ticks = itertools.count()
    return ReferenceValidator(node, clock=lambda: next(ticks) / 1e6)


@pytest.fixture
def whole(node: SimulatedBackend) -> ValidationTarget:
    """A whole GPU."""
    gpu = node.discover().gpus[0]
    return ValidationTarget(gpu=gpu, instance=None, memory_mib=gpu.memory_mib, multiprocessors=gpu.multiprocessors)


@pytest.fixture
def partition(node: SimulatedBackend) -> ValidationTarget:
    """A 3g in the upper half of another GPU."""
    return made_partition(node, 1, 9, Placement(4, 4), memory_mib=40448, multiprocessors=60)
