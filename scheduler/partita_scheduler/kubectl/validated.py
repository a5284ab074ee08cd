"""What a claim's status says of the validation of a device, in plain words. Pure."""

from __future__ import annotations

from typing import Any

MOMENTS = {
    "prepare": "before its container started",
    "bind": "before its pod was bound",
    "idle": "while nobody had it",
    "again": "after it was quarantined",
}
SKIPPED = {
    "shared": "not validated: others compute on the GPU, and there was no room beside them",
    "off": "not validated: the node's settings say so",
}


def validation_words(data: Any) -> str | None:
    """One sentence on `data.validation` of a device; None where it says nothing that is known."""
    told = data.get("validation") if isinstance(data, dict) else None
    if not isinstance(told, dict):
        return None
    depth, skipped = told.get("depth"), str(told.get("skipped") or told.get("reason") or "")
    if depth == "skipped":
        return SKIPPED.get(skipped, f"not validated: {skipped or 'no reason is given'}")
    if depth not in ("quick", "full"):
        return None
    parts = [f"validated {MOMENTS.get(str(told.get('moment')), '')}".rstrip(), *_figures(told)]
    return f"{', '.join(parts)} ({told.get('method', 'unknown')}, {depth})"


def _figures(told: dict[str, Any]) -> list[str]:
    found = []
    if isinstance(seconds := told.get("seconds"), int | float):
        found.append(f"in {seconds:.3g} s")
    if isinstance(coverage := told.get("memoryCoverage"), int | float):
        found.append(f"{_percent(coverage)} of its memory written and read back")
    return found


def _percent(share: float) -> str:
    """Never rounded up to all of it."""
    return f"{100 * share:.3g}%" if share >= 1 or share < 0.9995 else "99.9%"
