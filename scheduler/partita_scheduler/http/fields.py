"""Fields that readers of HTTP understand differently are refused: the end of a request must be the same to everybody.

What is let through of RFC 9112 is what needs no guess. cheroot takes the last of several lengths, "1_0" for ten and a
folded line for the whole field; another reader in front of it may not.
"""

from __future__ import annotations

import re
from typing import Any

from cheroot.server import HeaderReader

FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
LENGTH, CODING = b"content-length", b"transfer-encoding"
ONCE = frozenset((b"host", LENGTH, CODING))


def field_of(line: bytes) -> tuple[bytes, bytes]:
    """Name, in lower case, and value of a line without its end. Raises ValueError."""
    found = FIELD.fullmatch(line)
    if found is None:
        raise ValueError("A header field is not a name, a colon and a value in one line.")
    return found[1].lower(), found[2].strip(b" \t")


class StrictFields(HeaderReader):
    """cheroot's reader. Raises ValueError for what is refused, which cheroot answers with 400."""

    def __call__(self, rfile: Any, hdict: Any = None) -> Any:
        return super().__call__(_Checked(rfile), hdict)


class _Checked:
    """Lines of a head, each checked."""

    def __init__(self, rfile: Any) -> None:
        self._rfile = rfile
        self._found: set[bytes] = set()

    def readline(self) -> bytes:
        line = bytes(self._rfile.readline())
        if line not in (b"", b"\r\n"):
            self._check(*field_of(line.removesuffix(b"\r\n")))
        return line

    def _check(self, name: bytes, value: bytes) -> None:
        if name in ONCE and name in self._found:
            raise ValueError(f"{name.decode()} is there more than once.")
        self._found.add(name)
        if {LENGTH, CODING} <= self._found:
            raise ValueError("Both Content-Length and Transfer-Encoding are there.")
        if name == LENGTH and not value.isdigit():
            raise ValueError("Content-Length is not a number.")
