"""Calls that may hang, each in a thread that nobody has to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def started(name: str, act: Callable[[], T]) -> Future[T]:
    """Run `act` in a thread of its own, which does not keep the process alive."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def failed(future: Future[T]) -> bool:
    """Whether it has ended in an error."""
    return future.done() and future.exception() is not None
