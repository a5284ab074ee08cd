"""The tests that docs/resource-slices.md names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROWS = re.findall(r"\| ([\w/]+\.py)::(\w+) \|", (ROOT / "docs" / "resource-slices.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("path", "name"), sorted(set(ROWS)))
def test_a_promise_has_its_test(path: str, name: str) -> None:
    assert re.search(rf"^(def|class) {name}\(", (ROOT / "tests" / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_table_is_read() -> None:
    assert len(ROWS) >= 25
