"""Real sockets: bounds before reading, broken requests, draining, and where to listen."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from partita_plugins.errors import InvalidInput
from partita_scheduler.http.address import Address, check_exposure
from partita_scheduler.http.connection import Connection
from partita_scheduler.http.server import ExtenderServer
from tests.scheduler.edge.fakes import body, make_pod
from tests.scheduler.edge.https import Start, post, tls_of
from tests.waiting import WAIT_SECONDS


def test_a_body_over_the_bound_is_refused_before_it_is_sent(start: Start) -> None:
    address = start()
    with socket.create_connection((address.host, address.port), timeout=WAIT_SECONDS) as raw:
        raw.sendall(b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
        assert b"413" in raw.recv(200)


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\nrubbish\r\n0\r\n\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"fffffff\r\nabc", b"-1\r\n\r\n"],
    ids=["no-size", "wrong-size", "too-large", "negative"],
)
def test_broken_chunks_are_a_4xx_and_the_process_lives(start: Start, chunks: bytes) -> None:
    address = start()
    with socket.create_connection((address.host, address.port), timeout=WAIT_SECONDS) as raw:
        raw.sendall(b"POST /filter HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(200).split(b" ")[1][:1] == b"4"
    connection = http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS)
    assert post(connection, "filter", body(make_pod(), "a"))[0] == 200
    connection.close()


def test_an_answer_takes_no_nagle_delay(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers and body in two writes without TCP_NODELAY cost 40 ms a call."""
    at_once: list[int] = []
    communicate = Connection.communicate

    def seen(one: Connection) -> bool:
        at_once.append(one.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return communicate(one)

    monkeypatch.setattr(Connection, "communicate", seen)
    address = start()
    connection = http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS)
    assert post(connection, "prioritize", body(make_pod(), "a", "b"))[0] == 200
    connection.close()
    assert at_once
    assert all(at_once)


def test_a_stopping_server_ends_the_request_that_it_has_begun() -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(_environ: object, respond: Callable[..., object]) -> list[bytes]:
        entered.set()
        leave.wait(WAIT_SECONDS)
        respond("200 OK", [("Content-Length", "4")])
        return [b"done"]

    server = ExtenderServer(slow, Address(host="127.0.0.1", port=0), tls=None, max_body_bytes=10, threads=2)
    address = server.bind()
    threading.Thread(target=server.serve, daemon=True).start()
    connection = http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS)
    connection.request("GET", "/")
    assert entered.wait(WAIT_SECONDS)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    leave.set()
    assert connection.getresponse().read() == b"done"
    stopper.join(WAIT_SECONDS)
    connection.close()


def test_plain_http_is_for_loopback_alone(pki: Path) -> None:
    check_exposure(Address.parse("127.0.0.1:8888"), None)
    check_exposure(Address.parse("[::1]:8888"), None)
    check_exposure(Address.parse("0.0.0.0:8888"), tls_of(pki))
    with pytest.raises(InvalidInput, match="--tls-cert"):
        check_exposure(Address.parse("0.0.0.0:8888"), None)


@pytest.mark.parametrize("text", ["8888", ":8888", "host:", "host:x", "host:99999", ""])
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="HOST:PORT"):
        Address.parse(text)


def test_a_taken_port_is_said_in_words(start: Start) -> None:
    taken = start()
    with pytest.raises(InvalidInput, match="choose another HOST:PORT"):
        ExtenderServer(None, taken, tls=None, max_body_bytes=1).bind()
