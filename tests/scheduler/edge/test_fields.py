"""Fields of a head that two readers of HTTP may understand differently."""

from __future__ import annotations

import io

import pytest

from partita_scheduler.http.fields import StrictFields

HOST = b"Host: x\r\n"


def read(fields: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = StrictFields()(io.BytesIO(fields + b"\r\n"))
    return found


def test_ordinary_fields_are_read() -> None:
    found = read(HOST + b"Content-Length:  12 \r\nAccept: a\r\nAccept: b\r\nX_y:\r\n")
    assert found == {b"Host": b"x", b"Content-Length": b"12", b"Accept": b"a, b", b"X_Y": b""}


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 1\r\nContent-Length: 1\r\n",
        b"Content-Length: 1\r\ncontent-length: 2\r\n",
        b"Content-Length: 1, 1\r\n",
        b"Content-Length: 1_0\r\n",
        b"Content-Length: +1\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: \r\n",
        b"Content-Length : 1\r\n",
        b"Content-Length: 1\r\n 2\r\n",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"X: a\rContent-Length: 1\r\n",
        b"X: a\nContent-Length: 1\r\n",
        b"X: a\0\r\n",
        b" X: a\r\n",
        b"X\r\n",
        b": a\r\n",
        HOST,
    ],
)
def test_what_may_be_understood_otherwise_is_refused(fields: bytes) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        read(HOST + fields)


def test_a_head_that_never_ends_is_refused() -> None:
    with pytest.raises(ValueError, match="end of headers"):
        StrictFields()(io.BytesIO(HOST))
