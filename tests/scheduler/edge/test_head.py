"""Which heads are plain; everything else is left to the library, whatever it says."""

from __future__ import annotations

import io
from http.client import parse_headers

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_scheduler.http.fields import StrictFields
from partita_scheduler.http.head import Head, read_head

GO = (
    b"POST /filter HTTP/1.1\r\nHost: 127.0.0.1:8888\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 12\r\n"
    b"Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
)


def head(*fields: bytes, line: bytes = b"POST /filter HTTP/1.1") -> bytes:
    return b"\r\n".join((line, *fields, b"", b""))


def test_what_kube_scheduler_sends_is_plain() -> None:
    assert read_head(GO + b'{"Pod": null') == Head(line=b"POST /filter HTTP/1.1", bytes=len(GO), body_bytes=12)


def test_names_of_fields_have_no_case() -> None:
    found = read_head(head(b"HOST: x", b"content-LENGTH:  7 "))
    assert found is not None
    assert found.body_bytes == 7


@pytest.mark.parametrize(
    "seen",
    [
        GO[:-1],
        b"",
        head(b"Host: x"),
        head(b"Content-Length: 1"),
        head(b"Host: x", b"Content-Length: 1", line=b"GET /filter HTTP/1.1"),
        head(b"Host: x", b"Host: y", b"Content-Length: 1"),
        head(b"Host: x", b"Content-Length: 1", b"Content-Length: 1"),
        head(b"Host: x", b"Content-Length: 1, 1"),
        head(b"Host: x", b"Content-Length: -1"),
        head(b"Host: x", b"Content-Length: +1"),
        head(b"Host: x", b"Content-Length: 1_0"),
        head(b"Host: x", b"Content-Length: 0x1"),
        head(b"Host: x", b"Content-Length: "),
        head(b"Host: x", b"Content-Length: 999999999"),
        head(b"Host: x", b"Content-Length : 1"),
        head(b"Host: x", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        head(b"Host: x", b"Content-Length: 1", b"Expect: 100-continue"),
        head(b"Host: x", b"Content-Length: 1", b"Connection: close"),
        head(b"Host: x", b"Content-Length: 1", b"Content-Encoding: gzip"),
        head(b"Host: x", b"Content-Length: 1", b"Accept: a", b" folded: b"),
        head(b"Host: x\nTransfer-Encoding: chunked", b"Content-Length: 1"),
        head(b"Host: x\rTransfer-Encoding: chunked", b"Content-Length: 1"),
        head(b"Host: x", b"Content-Length: 1", b"no colon"),
        head(b"Host: x", b"Content-Length: 1", b"Accept: a\0"),
    ],
)
def test_what_is_not_plain_is_left_alone(seen: bytes) -> None:
    assert read_head(seen) is None


PIECES = st.sampled_from(
    [
        b"Host: x",
        b"Content-Length: 3",
        b"Content-Length:3",
        b"Accept: */*",
        b"User-Agent: a: b",
        b"Transfer-Encoding: chunked",
    ]
) | st.text("aA: \t\r\n\0-,0123", max_size=12).map(str.encode)


@given(st.lists(PIECES, max_size=6).map(lambda fields: head(*fields)))
def test_a_head_that_is_taken_for_plain_means_the_same_to_a_reader_of_all_of_http(seen: bytes) -> None:
    found = read_head(seen)
    if found is not None:
        fields = seen.partition(b"\r\n")[2]
        told = parse_headers(io.BytesIO(fields))
        assert [value.strip() for value in told.get_all("Content-Length") or []] == [str(found.body_bytes)]
        assert told["Transfer-Encoding"] is None
        assert len(told.get_all("Host") or []) == 1
        assert StrictFields()(io.BytesIO(fields))[b"Content-Length"] == str(found.body_bytes).encode()
