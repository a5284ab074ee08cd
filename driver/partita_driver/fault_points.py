"""Named points in the code at which a test may end the process. In production they cost one comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_hook: Callable[[str], None] | None = None


def reached(point: str) -> None:
    """Say that this point is reached."""
    if _hook is not None:
        _hook(point)


@contextmanager
def hooked(hook: Callable[[str], None]) -> Iterator[None]:
    """Call `hook` at every point until the end of the block."""
    global _hook  # noqa: PLW0603 - one process, one hook
    _hook, before = hook, _hook
    try:
        yield
    finally:
        _hook = before
