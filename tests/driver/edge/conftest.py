"""Fixtures of the driver's edge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A fresh folder whose name leaves room for the paths of unix sockets, which pytest's own do not."""
    with tempfile.TemporaryDirectory(prefix="p-") as made:
        yield Path(made)
