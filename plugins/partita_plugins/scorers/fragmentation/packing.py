"""What the parts of a GPU are worth when pods of given sizes keep coming: prices from the best way to pack them.

The linear programme of Gilmore and Gomory (1961) packs the demand into the fewest GPUs. Its dual values are the price
of each size, in GPUs: no set of sizes that fits into one GPU costs more than 1. Here in milli-GPU, in cells of ten.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from partita_plugins.contracts import Counts, Floats

CELL = 10
CELLS = 1000 // CELL
MAX_SIZES = 40
"""The sizes with the most demand have prices of their own."""

MAX_STEPS = 200
"""Of the simplex; a few dozen are usual. The prices are valid after any number, and better after more."""

_TOLERANCE = 1e-6


def prices(demand: Mapping[int, float]) -> dict[int, float]:
    """Size in cells (1 to 100) to its price in milli-GPU. A size that is hardly or not asked for has none."""
    asked = sorted((-count * size, size) for size, count in demand.items() if count > 0)
    sizes = sorted(size for _, size in asked[:MAX_SIZES])
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
    lengths = np.array(sizes)
    basis = np.diag((CELLS // lengths).astype(float))
    ones = np.ones(len(sizes))
    duals: Floats = np.linalg.solve(basis.T, ones).astype(np.float64)
    for _ in range(MAX_STEPS):
        pattern, worth = _best_pattern(lengths, duals)
        if worth <= 1 + _TOLERANCE:
            break
        used, entering = np.linalg.solve(basis, wanted), np.linalg.solve(basis, pattern)
        ratios = np.where(entering > _TOLERANCE, used / np.where(entering > _TOLERANCE, entering, 1.0), np.inf)
        basis[:, int(np.argmin(ratios))] = pattern
        duals = np.linalg.solve(basis.T, ones).astype(np.float64)
    return duals.clip(min=0.0)


def _best_pattern(lengths: Counts, values: Floats) -> tuple[Floats, float]:
    """The most valuable multiset of sizes, ascending, in one GPU."""
    best, last = np.zeros(CELLS + 1), [-1] * (CELLS + 1)
    for cells in range(1, CELLS + 1):
        best[cells] = best[cells - 1]
        fitting = int(np.searchsorted(lengths, cells, side="right"))
        if fitting:
            found = values[:fitting] + best[cells - lengths[:fitting]]
            i = int(np.argmax(found))
            if found[i] > best[cells] + _TOLERANCE:
                best[cells], last[cells] = found[i], i
    pattern, cells = np.zeros(len(lengths)), CELLS
    while cells > 0:
        if last[cells] < 0:
            cells -= 1
            continue
        pattern[last[cells]] += 1
        cells -= int(lengths[last[cells]])
    return pattern, float(best[CELLS])
