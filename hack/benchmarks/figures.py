"""Medians, spreads, and how a result is printed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence


def quantile(values: Sequence[float], q: float) -> float:
    """The nearest-rank quantile: a value that was really measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def print_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    """One JSON object a line, or an aligned table."""
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    if rows:
        columns = list(rows[0])
        table = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
        for line in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
