"""Fixtures of the part before the bind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driver.edge.binding.world import World
from tests.driver.edge.worlds import api_server
from tests.driver.engine.nodes import Node


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with api_server(tmp_path) as (server, api):
        made = World(server, api, Node(tmp_path / "node"))
        yield made
        made.stop()
