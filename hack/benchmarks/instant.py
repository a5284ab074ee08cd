"""The floor: an extender that answers at once from a bare socket, so that all that is left is kube-scheduler's side."""

from __future__ import annotations

import socket
import threading

import click
from hack.demo.endpoints import LOOPBACK

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
READ_BYTES = 2**16
FILTERS = (b"POST /filter ", b"POST /choose ")


def answer(head: bytes, body: bytes) -> bytes:
    """Keeps every node, prefers none: kube-scheduler writes the names last, and they go back as they came."""
    return b"{" + body[body.rindex(b'"NodeNames":') :] if head.startswith(FILTERS) else b"[]"


def serve(connection: socket.socket) -> None:
    """Answer until the client leaves."""
    seen = b""
    while some := connection.recv(READ_BYTES):
        seen += some
        head, found, body = seen.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            told = answer(head, body)
            connection.sendall(HEAD % (len(told), told))
            seen = b""


def _length(head: bytes) -> int:
    fields = (line.partition(b":") for line in head.split(b"\r\n"))
    return next((int(value) for name, _, value in fields if name.lower() == b"content-length"), 0)


@click.command()
def main() -> None:
    """Serve until killed."""
    listening = socket.create_server((LOOPBACK, 0))
    click.echo(f'"listening" "port": {listening.getsockname()[1]}')
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
