"""Bound pods of which only so many stay: as one more comes, the first one goes, and its devices with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

AT_ONCE = 4


@contextmanager
def leaving(stay: int | None, drop: Callable[[str], object]) -> Iterator[Callable[[str], None]]:
    """What is to be told of each bound pod, without waiting for those that go; None: all stay.

    Raises at the end what `drop` raised.
    """
    there: deque[str] = deque()
    gone: list[Future[object]] = []
    with ThreadPoolExecutor(AT_ONCE) as droppers:

        def bound(name: str) -> None:
            there.append(name)
            if stay is not None and len(there) > stay:
                gone.append(droppers.submit(drop, there.popleft()))

        yield bound
    for one in gone:
        one.result()
