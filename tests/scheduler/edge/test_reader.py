"""What is put back is read first; and looking whether there is more never waits."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from partita_scheduler.http.reader import Reader
from tests.waiting import WAIT_SECONDS


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Reader]]:
    here, there = socket.socketpair()
    there.settimeout(WAIT_SECONDS)
    with here, there, Reader(there) as reader:
        yield here, reader


def test_what_was_put_back_comes_before_what_came_since(pair: tuple[socket.socket, Reader]) -> None:
    here, reader = pair
    here.sendall(b"later\n")
    reader.put_back(b"first, ")
    assert reader.readline() == b"first, later\n"


def test_what_was_put_back_comes_in_whatever_pieces_it_is_asked_for(pair: tuple[socket.socket, Reader]) -> None:
    _, reader = pair
    reader.put_back(b"12345")
    pieces = [bytearray(2) for _ in range(3)]
    assert [reader.raw.readinto(memoryview(piece)) for piece in pieces] == [2, 2, 1]
    assert b"".join(pieces) == b"12345\0"


def test_there_is_data_where_some_was_put_back_or_read_ahead(pair: tuple[socket.socket, Reader]) -> None:
    here, reader = pair
    assert not reader.has_data()
    reader.put_back(b"1")
    assert reader.has_data()
    assert reader.read(1) == b"1"
    here.sendall(b"23")
    assert not reader.has_data(), "what is still the socket's is not waited for"
    assert reader.read(1) == b"2"
    assert reader.has_data()
