"""A simulated node in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from partita_plugins.backends.simulated import Delays, SimulatedBackend, open_backend

Opener = Callable[..., SimulatedBackend]


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def opened(state_dir: Path) -> Opener:
    """Open the node's backend, again and again as a restarted driver does: hgx-h100 unless said otherwise."""

    def open_it(machine: str = "hgx-h100", delays: Delays | None = None, *, shuffle: bool = False) -> SimulatedBackend:
        return open_backend(
            state_dir, machine, seed="node-a", delays=delays or Delays(), shuffle_minors=shuffle, words=2**14
        )

    return open_it
