"""Lists in pages that all show one moment, as `limit` and `continue` promise."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from dataclasses import dataclass

from partita_plugins.testing.apiserver.errors import bad_request, expired
from partita_plugins.testing.apiserver.store import Stored

SNAPSHOTS_MAX = 64
"""Lists being read in pages at one time; the one begun first is forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a list."""

    items: list[Stored]
    version: int
    """The resource version that the whole list shows."""
    proceed: str = ""
    """Token for the next page; empty on the last."""
    remaining: int = 0


class Pages:
    """Remembers the rest of lists that were cut."""

    def __init__(self) -> None:
        self._rest: OrderedDict[int, tuple[list[Stored], int]] = OrderedDict()
        self._lock = threading.Lock()
        self._next = 0

    def first(self, items: list[Stored], version: int, limit: int) -> Page:
        if len(items) <= limit:
            return Page(items=items, version=version)
        with self._lock:
            self._next += 1
            key = self._next
            self._rest[key] = (items, version)
            if len(self._rest) > SNAPSHOTS_MAX:
                self._rest.popitem(last=False)
        return self._page(key, items, version, 0, limit)

    def proceed(self, token: str, limit: int) -> Page:
        try:
            key, start = map(int, base64.urlsafe_b64decode(token.encode()).decode().split("."))
        except ValueError as error:
            raise bad_request("continue key is not valid; list again without it") from error
        with self._lock:
            found = self._rest.get(key)
        if found is None:
            raise expired("the provided continue parameter is too old; list again without it")
        return self._page(key, *found, start, limit)

    def _page(self, key: int, items: list[Stored], version: int, start: int, limit: int) -> Page:
        end = start + limit
        remaining = max(0, len(items) - end)
        token = base64.urlsafe_b64encode(f"{key}.{end}".encode()).decode() if remaining else ""
        return Page(items=items[start:end], version=version, proceed=token, remaining=remaining)
