"""Asking a backend for something that it has to refuse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from partita_plugins.errors import BackendError, NvmlCode


@contextmanager
def refused(*codes: NvmlCode) -> Iterator[None]:
    """The block ends in a BackendError with one of the codes."""
    try:
        yield
    except BackendError as error:
        assert error.code in codes, f"{error.code.name} was answered, {[code.name for code in codes]} expected"
        return
    raise AssertionError(f"nothing was refused, {[code.name for code in codes]} expected")
