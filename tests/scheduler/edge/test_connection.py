"""Connections that are kept, and the workers that stay with them: nothing of HTTP is lost on the quick way."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest

from partita_scheduler.http import connection
from partita_scheduler.http import server as server_of
from partita_scheduler.http.address import Address
from partita_scheduler.http.answer import Answer
from partita_scheduler.http.reader import READ_BYTES
from partita_scheduler.http.server import ExtenderServer
from tests.waiting import WAIT_SECONDS

THREADS = 2


def app(environ: dict[str, Any], respond: Callable[..., object]) -> list[bytes]:
    """What is not quick comes here."""
    told = b"app " + environ["wsgi.input"].read()
    respond("200 OK", [("Content-Length", str(len(told)))])
    return [told]


DONE = threading.Event()
"""Set after each quick answer."""


@contextlib.contextmanager
def serving() -> Iterator[tuple[ExtenderServer, Address]]:
    server = ExtenderServer(
        app,
        Address(host="127.0.0.1", port=0),
        tls=None,
        max_body_bytes=4 * READ_BYTES,
        threads=THREADS,
        quick={"/echo": lambda body: Answer(body=b"quick " + body, afterwards=DONE.set)},
    )
    address = server.bind()
    threading.Thread(target=server.serve, daemon=True).start()
    yield server, address
    server.stop()


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with serving() as (_, found):
        yield found


@pytest.fixture
def client(address: Address) -> Iterator[socket.socket]:
    with socket.create_connection((address.host, address.port), timeout=WAIT_SECONDS) as made:
        yield made


def question(body: bytes, path: bytes = b"/echo") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


def answers(client: socket.socket, count: int) -> list[bytes]:
    """So many bodies, in the order in which they come."""
    found = []
    reader = client.makefile("rb")
    for _ in range(count):
        assert reader.readline().split(b" ")[1] == b"200"
        headers = http.client.parse_headers(reader)
        found.append(reader.read(int(headers["Content-Length"])))
    return found


def test_several_questions_sent_at_once_are_answered_in_order(client: socket.socket) -> None:
    client.sendall(question(b"1") + question(b"2") + question(b"3", b"/slow") + question(b"4"))
    assert [told.split()[1] for told in answers(client, 4)] == [b"1", b"2", b"3", b"4"]


def test_a_question_that_comes_byte_by_byte_is_answered(client: socket.socket) -> None:
    for byte in question(b"1"):
        client.sendall(bytes((byte,)))
    assert [told.split()[1] for told in answers(client, 1)] == [b"1"]


def test_kept_connections_take_quick_questions_and_others_in_turns(client: socket.socket) -> None:
    for number in (b"1", b"2"):
        client.sendall(question(number))
        assert answers(client, 1) == [b"quick " + number]
        client.sendall(question(number, b"/slow"))
        assert answers(client, 1) == [b"app " + number]


def test_a_body_longer_than_what_is_read_at_once_is_answered(client: socket.socket) -> None:
    client.sendall(question(b"x" * 3 * READ_BYTES))
    assert answers(client, 1) == [b"quick " + b"x" * 3 * READ_BYTES]


def test_a_body_over_the_bound_is_refused_before_it_is_sent(client: socket.socket) -> None:
    client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
    assert client.recv(200).split(b" ")[1] == b"413"


def test_a_chunked_body_is_answered_by_the_app(client: socket.socket) -> None:
    client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
    assert answers(client, 1) == [b"app x"]


def test_trailers_of_a_chunked_body_are_not_taken_for_the_next_question(client: socket.socket) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.sendall(head + b"1\r\nx\r\n0\r\n" + question(b"smuggled"))
    assert answers(client, 1) == [b"app x"]
    assert client.recv(1000) == b""


def test_a_length_said_twice_is_refused_and_what_follows_is_not_read(client: socket.socket) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n"
    client.sendall(head + question(b"smuggled"))
    told = client.makefile("rb").read()
    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"smuggled" not in told


def test_who_leaves_in_the_middle_of_a_body_gets_no_answer_and_harms_nobody(
    address: Address, client: socket.socket
) -> None:
    client.sendall(question(b"body")[:-1])
    client.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b""
    with socket.create_connection((address.host, address.port), timeout=WAIT_SECONDS) as another:
        another.sendall(question(b"1"))
        assert answers(another, 1) == [b"quick 1"]


def test_what_is_done_afterwards_is_done_once_the_answer_has_been_sent(client: socket.socket) -> None:
    DONE.clear()
    client.sendall(question(b"1"))
    assert answers(client, 1) == [b"quick 1"]
    assert DONE.wait(WAIT_SECONDS)


def test_more_kept_connections_than_workers_are_all_answered_however_long_workers_stay(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 60)
    kept = [http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS) for _ in range(3 * THREADS)]
    for _ in range(3):
        for one in kept:
            one.request("POST", "/echo", b"1")
            answer = one.getresponse()
            assert (answer.status, answer.read()) == (HTTPStatus.OK, b"quick 1")
    for one in kept:
        one.close()


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a worker stays with its connection."""
    found = threading.Event()
    again = connection.Connection._asked_again

    def seen(one: connection.Connection) -> bool:
        found.set()
        return again(one)

    monkeypatch.setattr(connection.Connection, "_asked_again", seen)
    return found


def test_a_client_that_has_left_leaves_its_worker_to_others(address: Address, waiting: threading.Event) -> None:
    with socket.create_connection((address.host, address.port), timeout=WAIT_SECONDS) as first:
        first.sendall(question(b"1"))
        assert waiting.wait(WAIT_SECONDS)
    waiting.clear()
    with socket.create_connection((address.host, address.port), timeout=WAIT_SECONDS) as second:
        for _ in range(100):
            second.sendall(question(b"1"))
            assert answers(second, 1) == [b"quick 1"]
            if waiting.wait(0.05):
                return
    raise AssertionError("no worker stays with the second")


def test_a_worker_that_waits_for_the_next_question_does_not_hold_up_a_stop(
    waiting: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_of, "DRAIN_SECONDS", 2 * WAIT_SECONDS)
    with (
        serving() as (server, address),
        socket.create_connection((address.host, address.port), timeout=WAIT_SECONDS) as client,
    ):
        client.sendall(question(b"1"))
        assert answers(client, 1) == [b"quick 1"]
        assert waiting.wait(WAIT_SECONDS)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < WAIT_SECONDS
        assert client.recv(100) == b""
