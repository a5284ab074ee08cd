"""A node whose NVML is the C library over a simulated machine, and the backend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from partita_plugins.backends.nvml import NvmlBackend, open_backend
from partita_plugins.backends.simulated import SimulatedBackend, open_existing
from partita_plugins.testing.nvml import Node, installed


@pytest.fixture
def machine() -> str:
    """Its name in the catalog; parametrized where it matters."""
    return "hgx-h100"


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Node]:
    """Nodes by machine, each laid out once, for tests that change nothing."""
    return cache(lambda machine: installed(tmp_path_factory.mktemp(machine), machine, seed="contract"))


@pytest.fixture
def node(tmp_path: Path, machine: str) -> Node:
    return installed(tmp_path / "node", machine, seed="contract")


@pytest.fixture
def restarted(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], NvmlBackend]]:
    """The backend of a driver that starts, and lets go of the GPUs that the one before it had."""
    for name, value in node.environment.items():
        monkeypatch.setenv(name, value)
    opened: list[NvmlBackend] = []

    def close() -> None:
        while opened:
            opened.pop().close()

    def restart() -> NvmlBackend:
        close()
        opened.append(open_backend(tmp_path / "driver", driver_root=node.root))
        return opened[-1]

    yield restart
    close()


@pytest.fixture
def backend(restarted: Callable[[], NvmlBackend]) -> NvmlBackend:
    return restarted()


@pytest.fixture
def simulated(node: Node) -> SimulatedBackend:
    """The same hardware, seen by the simulated backend."""
    return open_existing(node.state, words=2**12)
