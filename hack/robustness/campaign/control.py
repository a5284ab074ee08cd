"""How the campaign asks a driver process for its state: a Unix socket, one word in, JSON out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from partita_driver.journal.records import JournalState

ANSWER_SECONDS = 60.0


class Watched(Protocol):
    """A driver that can be asked."""

    def settle(self) -> JournalState: ...
    def remembered(self) -> JournalState: ...


def serve_control(path: Path, driver: Watched) -> None:
    """Answer in a thread of its own until the process ends."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    verbs = {b"settle": driver.settle, b"state": driver.remembered}
    threading.Thread(target=_serve, args=(listener, verbs), name="control", daemon=True).start()


def _serve(listener: socket.socket, verbs: Mapping[bytes, Callable[[], JournalState]]) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(msgspec.json.encode(verbs[connection.recv(16)]()))


def ask(path: Path, verb: str) -> JournalState:
    """The driver's state; "settle" reconciles first. Raises OSError where no process answers."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_SECONDS)
        client.connect(str(path))
        client.sendall(verb.encode())
        parts = []
        while part := client.recv(1 << 16):
            parts.append(part)
    if not parts:
        raise ConnectionError("the driver ended before it answered")
    return msgspec.json.decode(b"".join(parts), type=JournalState)
