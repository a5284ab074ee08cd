"""What a question gets, whichever way it came."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import msgspec

CLOSE = b"Connection: close\r\n"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """JSON, and what goes with it."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    close: bool = False
    """The client is to come back on another connection, and may find another replica then."""

    afterwards: Callable[[], None] | None = None
    """What is done once the answer has been sent."""

    def on_the_wire(self, *, close: bool) -> bytes:
        """As HTTP/1.1 sends it."""
        head = _head(self.status, int(time.time()))
        return b"%b%d\r\n%b\r\n%b" % (head, len(self.body), CLOSE if close else b"", self.body)


@lru_cache(maxsize=4)
def _head(status: HTTPStatus, seconds: int) -> bytes:
    """As far as the length of the body."""
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Date: {formatdate(seconds, usegmt=True)}\r\nContent-Length: "
    ).encode("ascii")


Quick = Mapping[str, Callable[[bytes], Answer]]
"""By path, what answers the body of a POST. It never raises."""
