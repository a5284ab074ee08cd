from __future__ import annotations

from pathlib import Path

import pytest

from tests.driver.engine.nodes import Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Eight H100s."""
    return Node(tmp_path)
