"""More clients than workers, that hold a connection and ask nothing: who asks is answered all the same."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from partita_scheduler.http import connection, server
from partita_scheduler.http.address import Address
from partita_scheduler.http.server import ExtenderServer, _Server
from partita_scheduler.http.tls import Tls
from tests.scheduler.edge.https import client_context, tls_of
from tests.waiting import WAIT_SECONDS, until

THREADS = 2
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01"


def plain(_environ: object, respond: Callable[..., object]) -> list[bytes]:
    respond("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@contextlib.contextmanager
def serving(tls: Tls | None = None, kept: int = 10) -> Iterator[Address]:
    found = ExtenderServer(
        plain, Address(host="127.0.0.1", port=0), tls=tls, max_body_bytes=1000, threads=THREADS, kept=kept
    )
    address = found.bind()
    threading.Thread(target=found.serve, daemon=True).start()
    try:
        yield address
    finally:
        found.stop()


def connected(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=WAIT_SECONDS)


def is_open(client: socket.socket) -> bool:
    """Whether the server has neither answered nor left."""
    client.settimeout(0)
    try:
        return client.recv(1) != b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return True


def asked(client: http.client.HTTPConnection) -> int:
    client.request("GET", "/")
    answer = client.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize("begun", [b"", b"GET", b"GET / HTTP/1.1\r\nX: "], ids=["silent", "in a line", "in a head"])
def test_who_does_not_end_a_head_holds_no_worker(begun: bytes) -> None:
    with serving() as address, contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connected(address)) for _ in range(3 * THREADS)]
        for one in crowd:
            one.sendall(begun)
        client = stack.enter_context(
            closing(http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS))
        )
        assert asked(client) == 200
        assert all(map(is_open, crowd))


@pytest.mark.parametrize("begun", [b"", HALF_A_HELLO], ids=["silent", "in a hello"])
def test_who_does_not_end_a_handshake_holds_no_worker(begun: bytes, pki: Path) -> None:
    context = client_context(pki, certificate=True)
    with serving(tls_of(pki)) as address, contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connected(address)) for _ in range(3 * THREADS)]
        for one in crowd:
            one.sendall(begun)
        client = http.client.HTTPSConnection(address.host, address.port, timeout=5, context=context)
        assert asked(stack.enter_context(closing(client))) == 200
        assert all(map(is_open, crowd))


def test_who_does_not_end_a_head_that_is_too_long_is_refused_at_once() -> None:
    with serving() as address, contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connected(address)) for _ in range(3 * THREADS)]
        for one in crowd:
            one.sendall(b"GET / HTTP/1.1\r\nX: ".ljust(_Server.max_request_header_size, b"x"))
        client = http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS)
        assert asked(stack.enter_context(closing(client))) == 200
        assert all(one.recv(100).startswith(b"HTTP/1.1 413 ") for one in crowd)


def test_of_too_many_that_ask_nothing_the_first_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_WAITING", 3)
    with serving() as address, contextlib.ExitStack() as stack:
        first, *rest = [stack.enter_context(connected(address)) for _ in range(4)]
        assert first.recv(1) == b""
        assert all(map(is_open, rest))


def test_of_too_many_that_end_a_handshake_and_ask_nothing_the_first_are_let_go(
    monkeypatch: pytest.MonkeyPatch, pki: Path
) -> None:
    """Where no more are kept they count as before the handshake."""
    monkeypatch.setattr(server, "MOST_WAITING", 3)
    context = client_context(pki, certificate=True)
    with serving(tls_of(pki), kept=2) as address, contextlib.ExitStack() as stack:

        def greeted() -> ssl.SSLSocket:
            return stack.enter_context(context.wrap_socket(connected(address), server_hostname="127.0.0.1"))

        crowd = [greeted() for _ in range(8)]
        until(lambda: sum(map(is_open, crowd)) <= 2 + 3)
        client = http.client.HTTPSConnection(address.host, address.port, timeout=WAIT_SECONDS, context=context)
        assert asked(stack.enter_context(closing(client))) == 200


def test_a_body_that_nobody_reads_is_not_waited_for() -> None:
    with serving() as address, connected(address) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        told = client.recv(1000)
        assert told.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Connection: close" in told


def test_a_kept_connection_is_kept_longer_than_a_silent_client_in_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """kube-scheduler closes it after 90 s: a question that meets our closing is lost, and not asked again."""
    monkeypatch.setattr(connection, "SOCKET_SECONDS", 0.2)
    monkeypatch.setattr(server, "SOCKET_SECONDS", 0.2, raising=False)
    with (
        serving() as address,
        closing(http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS)) as client,
    ):
        assert asked(client) == 200
        kept = client.sock
        kept.settimeout(1.5)  # it is looked every half second for those to be closed
        with pytest.raises(TimeoutError):
            kept.recv(1)
        assert asked(client) == 200
        assert client.sock is kept


def test_a_connection_that_is_kept_for_too_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.2)
    with (
        serving() as address,
        closing(http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS)) as client,
    ):
        assert asked(client) == 200
        assert client.sock.recv(1) == b""


def test_where_nothing_is_kept_a_connection_gets_one_answer() -> None:
    """Who asks often and reads nothing would hold a worker as soon as the buffers between are full."""
    with serving(kept=0) as address, connected(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        told = client.makefile("rb").read()
        assert told.count(b"HTTP/1.1 200 OK\r\n") == 1
        assert b"Connection: close" in told
