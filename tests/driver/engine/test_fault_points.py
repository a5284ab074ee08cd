"""The table of fault points and the code agree: what is reached is declared, and what is declared is somewhere."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import partita_driver
from partita_driver.fault_points import POINTS


def points_in(source: str) -> list[str]:
    """Names given to reached(); a name that is no literal counts as itself in code, so that it is noticed."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "reached"]
    return [ast.literal_eval(call.args[0]) if _is_text(call.args[0]) else ast.unparse(call) for call in named]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_every_point_is_declared_and_stands_in_one_place() -> None:
    folder = Path(partita_driver.__file__).parent
    found = Counter(point for path in folder.rglob("*.py") for point in points_in(path.read_text(encoding="utf-8")))
    assert found == Counter(POINTS.keys())


def test_a_point_without_a_literal_name_is_noticed() -> None:
    assert points_in('reached("made")\nreached(f"done-{kind}")\nhook.reached("x")') == [
        "made",
        "reached(f'done-{kind}')",
    ]
