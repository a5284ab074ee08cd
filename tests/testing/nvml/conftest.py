"""NVML over a simulated machine, as pynvml in this process sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pynvml
import pytest

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
