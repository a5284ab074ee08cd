"""What the parts of a GPU are worth when pods of given sizes keep coming: prices from the best way to pack them.

The linear programme of Gilmore and Gomory (1961) packs the demand into the fewest GPUs. Its dual values are the price
of each size, in GPUs: no set of sizes that fits into one GPU costs more than 1. Here in milli-GPU, in cells of ten.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from partita_plugins.contracts import Floats

CELL = 10
CELLS = 1000 // CELL
MAX_STEPS = 500
"""Of the simplex; a few dozen are usual. The prices are valid after any number, and better after more."""

_TOLERANCE = 1e-9


def prices(demand: Mapping[int, float]) -> dict[int, float]:
    """Size in cells (1 to 100) to its price in milli-GPU. A size that is not asked for has none."""
    sizes = sorted(size for size, count in demand.items() if count > 0)
    wanted = np.array([demand[size] for size in sizes], dtype=float)
    found = _duals(sizes, wanted) if sizes else np.zeros(0)
    # Duals of an unfinished simplex may overcharge a pattern: scaled, they do not.
    most = max(1.0, float(best_values(dict(zip(sizes, found, strict=True)))[CELLS])) if sizes else 1.0
    return {size: 1000 * float(price) / most for size, price in zip(sizes, found, strict=True)}


def best_values(of: Mapping[int, float]) -> Floats:
    """For 0 to 100 free cells the most that sizes of these prices in them are worth."""
    best = np.zeros(CELLS + 1)
    for cells in range(1, CELLS + 1):
        best[cells] = max((price + best[cells - size] for size, price in of.items() if size <= cells), default=0.0)
    return np.maximum.accumulate(best)


def _duals(sizes: list[int], wanted: Floats) -> Floats:
    """Column generation: patterns enter the basis as long as one is worth more than the GPU that it fills."""
    basis = np.diag([float(CELLS // size) for size in sizes])
    ones = np.ones(len(sizes))
    duals: Floats = np.linalg.solve(basis.T, ones).astype(np.float64)
    for _ in range(MAX_STEPS):
        pattern, worth = _best_pattern(sizes, duals)
        if worth <= 1 + _TOLERANCE:
            break
        used, entering = np.linalg.solve(basis, wanted), np.linalg.solve(basis, pattern)
        ratios = np.where(entering > _TOLERANCE, used / np.where(entering > _TOLERANCE, entering, 1.0), np.inf)
        basis[:, int(np.argmin(ratios))] = pattern
        duals = np.linalg.solve(basis.T, ones).astype(np.float64)
    return duals.clip(min=0.0)


def _best_pattern(sizes: list[int], values: Floats) -> tuple[Floats, float]:
    """The most valuable multiset of sizes in one GPU."""
    best, last = [0.0] * (CELLS + 1), [-1] * (CELLS + 1)
    for cells in range(1, CELLS + 1):
        best[cells] = best[cells - 1]
        for i, size in enumerate(sizes):
            if size <= cells and values[i] + best[cells - size] > best[cells] + _TOLERANCE:
                best[cells], last[cells] = values[i] + best[cells - size], i
    pattern, cells = np.zeros(len(sizes)), CELLS
    while cells > 0:
        if last[cells] < 0:
            cells -= 1
            continue
        pattern[last[cells]] += 1
        cells -= sizes[last[cells]]
    return pattern, best[CELLS]
