"""NVML over a simulated machine, as pynvml in this process sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest

from partita_plugins.backends.simulated import SimulatedBackend, open_existing
from partita_plugins.model.mig import Placement
from partita_plugins.testing.nvml import Node, installed

Starter = Callable[..., Node]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starter]:
    """Lay a machine out and call nvmlInit on it; one at a time, shut down at the end."""
    initialized = []

    def start(machine: str = "hgx-h100", *, shuffle_minors: bool = False) -> Node:
        node = installed(tmp_path / "state", machine, seed="node-a", shuffle_minors=shuffle_minors)
        for name, value in node.environment.items():
            monkeypatch.setenv(name, value)
        node.load()
        pynvml.nvmlInit()
        initialized.append(node)
        return node

    yield start
    for _ in initialized:
        pynvml.nvmlShutdown()


@pytest.fixture
def node(started: Starter) -> Node:
    """hgx-h100."""
    return started()


@pytest.fixture
def backend(node: Node) -> SimulatedBackend:
    """The other side of the same machine."""
    return open_existing(node.state)


@pytest.fixture
def uuid(backend: SimulatedBackend) -> str:
    return backend.gpu_uuids()[0]


@pytest.fixture
def gpu(node: Node) -> Any:
    """The first GPU, as pynvml holds it."""
    return pynvml.nvmlDeviceGetHandleByIndex(0)


def make_instance(backend: SimulatedBackend, uuid: str) -> int:
    """A 3g at 4 with its compute instance; the GPU instance's id."""
    backend.set_mig_mode(uuid, enabled=True)
    made = backend.create_gpu_instance(uuid, 9, Placement(4, 4))
    backend.create_compute_instance(uuid, made.gpu_instance_id)
    return made.gpu_instance_id
