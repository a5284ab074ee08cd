"""What a question gets, whichever way it came."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

CLOSE = "Connection: close\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """JSON, and what goes with it."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    close: bool = False
    """The client is to come back on another connection, and may find another replica then."""

    afterwards: Callable[[], None] | None = None
    """What is done once the answer has been sent."""

    def on_the_wire(self, *, close: bool) -> bytes:
        """As HTTP/1.1 sends it."""
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self.body)}\r\nDate: {_date(int(time.time()))}\r\n"
        )
        return f"{head}{CLOSE if close else ''}\r\n".encode("ascii") + self.body


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


Quick = Mapping[str, Callable[[bytes], Answer]]
"""By path, what answers the body of a POST. It never raises."""
