"""Clients that keep a worker busy with a byte now and then."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable

import pytest

from partita_plugins import deadline
from partita_plugins.deadline import Deadline
from partita_scheduler.http import server
from partita_scheduler.http.address import Address
from partita_scheduler.http.answer import Answer
from partita_scheduler.http.server import ExtenderServer
from tests.scheduler.edge.fakes import Clock
from tests.waiting import WAIT_SECONDS


def plain(_environ: object, respond: Callable[..., object]) -> list[bytes]:
    respond("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def trickle(clients: list[socket.socket], stopping: threading.Event) -> None:
    while not stopping.wait(0.05):
        for client in clients:
            try:
                client.send(b"x")
            except OSError:
                return


def is_cut(client: socket.socket) -> bool:
    client.settimeout(WAIT_SECONDS)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "begun",
    [b"GET / HTTP/1.1\r\nX: ", b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"],
    ids=["in the head", "in the body of a quick one"],
)
def test_as_many_trickling_clients_as_workers_are_cut_off(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 1.0, raising=False)
    monkeypatch.setattr(deadline, "STEP_SECONDS", 0.1)
    found = ExtenderServer(
        plain,
        Address(host="127.0.0.1", port=0),
        tls=None,
        max_body_bytes=1000,
        threads=2,
        quick={"/filter": lambda body: Answer(body=body)},
    )
    address = found.bind()
    threading.Thread(target=found.serve, daemon=True).start()
    stopping = threading.Event()
    clients = [socket.create_connection((address.host, address.port)) for _ in range(2)]
    for client in clients:
        client.sendall(begun)
    threading.Thread(target=trickle, args=(clients, stopping), daemon=True).start()
    try:
        time.sleep(0.3)  # both workers have one by now
        connection = http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        assert all(map(is_cut, clients))
    finally:
        stopping.set()
        found.stop()
        for client in clients:
            client.close()


def test_only_late_connections_are_cut() -> None:
    clock = Clock()
    watched = Deadline(10, clock)
    here, there = socket.socketpair()
    with here, there:
        watched.begin(here)
        clock.now += 9
        assert watched.step() == 0
        watched.end(here)
        clock.now += 9
        assert watched.step() == 0
        watched.begin(here)
        clock.now += 10
        assert watched.step() == 1
        assert there.recv(1) == b""


def test_of_more_than_so_many_the_oldest_is_cut() -> None:
    watched = Deadline(10, Clock(), most=1)
    here, there = socket.socketpair()
    with here, there:
        watched.begin(here)
        watched.begin(here)
        there.settimeout(0)
        with pytest.raises(BlockingIOError):
            there.recv(1)
        watched.begin(there)
        assert there.recv(1) == b""


def test_who_was_cut_and_is_looked_at_once_more_costs_nobody_else_a_place() -> None:
    watched = Deadline(10, Clock(), most=1)
    here, there = socket.socketpair()
    other, client = socket.socketpair()
    with here, there, other, client:
        watched.begin(here)
        watched.begin(other)
        assert there.recv(1) == b""
        watched.begin(here)  # by the worker that is told of its end
        client.settimeout(0)
        with pytest.raises(BlockingIOError):
            client.recv(1)


def test_what_was_begun_twice_counts_from_the_first_time() -> None:
    clock = Clock()
    watched = Deadline(10, clock)
    here, there = socket.socketpair()
    with here, there:
        watched.begin(here)
        clock.now += 9
        watched.begin(here)
        clock.now += 1
        assert watched.step() == 1
