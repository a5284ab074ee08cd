"""The page on robustness names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "robustness.md"
SECTION = "## Upstream issues and the tests that hold them"
ROWS_MIN = 15

_ROW = re.compile(
    r"\| \[(?P<issue>[\w.-]+#\d+)\]"
    r"\(https://github\.com/[\w.-]+/(?P<repository>[\w.-]+)/(?:issues|pull)/(?P<number>\d+)\) "
    r"\| (?P<wrong>[^|]+) \| `(?P<path>tests/[\w/]+\.py)::(?P<test>test_\w+)` \|"
)


def table() -> list[str]:
    section = PAGE.read_text(encoding="utf-8").partition(SECTION)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return lines[2:]


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_names_an_issue_and_a_test_that_exists() -> None:
    rows = {line: _ROW.fullmatch(line) for line in table()}
    assert len(rows) >= ROWS_MIN
    assert [line for line, row in rows.items() if row is None] == [], "rows that cannot be read"
    found = [row for row in rows.values() if row]
    assert all(row["issue"] == f"{row['repository']}#{row['number']}" for row in found), "text and link differ"
    missing = [
        f"{row['path']}::{row['test']}"
        for row in found
        if not (ROOT / row["path"]).is_file() or row["test"] not in names_in(ROOT / row["path"])
    ]
    assert missing == [], "rename them in docs/robustness.md too"
