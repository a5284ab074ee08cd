"""The head of a request that may be answered the quick way: exactly as kube-scheduler writes it, or left alone.

Whatever else HTTP allows is cheroot's to read: a list of what is plain cannot be talked into overlooking anything.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from partita_scheduler.http.fields import field_of

PLAIN = frozenset((b"host", b"user-agent", b"content-type", b"accept", b"accept-encoding"))
"""Fields that change nothing about how a request is read and answered."""

END = b"\r\n\r\n"
LENGTH_DIGITS = 8


class Head(NamedTuple):
    """What a plain head says."""

    line: bytes
    """ "POST /filter HTTP/1.1" """

    bytes: int
    """Its own, with the empty line that ends it."""

    body_bytes: int


def read_head(seen: bytes) -> Head | None:
    """The plain head of a POST at the beginning of `seen`; None where that is anything else, or not all of it."""
    end = seen.find(END)
    return _plain(seen[:end]) if end >= 0 and seen.startswith(b"POST ") else None


def goes_on(seen: bytes) -> bool:
    """Whether this may be the beginning of a head that has not come to its end."""
    return END not in seen and seen.count(b"\n") == seen.count(b"\r\n")


@lru_cache(maxsize=32)  # kube-scheduler's differ in the length of the body alone
def _plain(text: bytes) -> Head | None:
    line, *fields = text.split(b"\r\n")
    try:
        found = [field_of(field) for field in fields]
    except ValueError:
        return None
    hosts = sum(name == b"host" for name, _ in found)
    lengths = [value for name, value in found if name == b"content-length"]
    if any(name not in PLAIN and name != b"content-length" for name, _ in found):
        return None
    if hosts != 1 or len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > LENGTH_DIGITS:
        return None
    return Head(line=line, bytes=len(text) + len(END), body_bytes=int(lengths[0]))
