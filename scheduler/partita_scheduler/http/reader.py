"""What a connection's bytes are read from: a socket, or first what was taken from it and put back."""

from __future__ import annotations

import io
import socket
from typing import Any

READ_BYTES = 64 * 1024


class _Source(socket.SocketIO):
    """What was put back, then the socket's own bytes."""

    back = b""
    used = False
    """Something was read from here, so that a buffer may hold more of it."""

    shut = False
    """The socket gives nothing."""

    def readinto(self, buffer: Any) -> int | None:
        self.used = True
        if self.back:
            some, self.back = self.back[: len(buffer)], self.back[len(buffer) :]
            buffer[: len(some)] = some
            return len(some)
        return None if self.shut else super().readinto(buffer)


class Reader(io.BufferedReader):
    """What cheroot asks of a reader, on Python's buffers in C; its own are in Python."""

    def __init__(self, sock: socket.socket) -> None:
        self._source = _Source(sock, "r")
        super().__init__(self._source, READ_BYTES)

    def put_back(self, seen: bytes) -> None:
        """Bytes to be read before all else. Only while there is no data."""
        self._source.back = seen

    def has_data(self) -> bool:
        """Whether there is something that has been received and not read."""
        if not self._source.used and not self._source.back:
            return False
        self._source.shut = True
        try:
            return bool(self.peek(1))
        finally:
            self._source.shut = False
