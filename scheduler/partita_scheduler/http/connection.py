"""One client's connection, request after request.

cheroot reads and answers whatever HTTP allows, in about 250 µs of CPU, of which most is Python reading fields, and
handing the connection from thread to thread after each request. kube-scheduler asks twice for every pod of the cluster,
and waits. So a request with a plain head (head.py) for one of the server's quick paths is answered here, and the worker
then stays with the connection while questions keep coming: 70 µs. Nothing has been taken from the connection
before it is clear whose a request is.

The TLS handshake is done by the worker that serves the connection, not by the thread that accepts: a client slow with
it costs one worker for a few seconds, and keeps nobody else waiting.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import structlog
from cheroot.server import HTTPConnection, HTTPRequest

from partita_scheduler.http.answer import Answer
from partita_scheduler.http.head import Head, read_head
from partita_scheduler.http.reader import READ_BYTES, Reader

log = structlog.get_logger(__name__)

SOCKET_SECONDS = 10
"""A client that goes silent in the middle of a request is dropped after this."""

LINGER_SECONDS = 0.25
"""How long a worker waits for the next question where the last one came the quick way; a stop waits as long."""

HANDSHAKE_SECONDS = 2
DISCARD_SECONDS = 2
DISCARD_BYTES = 64 * 1024


class Request(HTTPRequest):
    """cheroot's, that tells of a body it has refused."""

    def simple_response(self, status: str, msg: str = "") -> None:
        self.conn.body_refused = str(status).startswith("413")
        super().simple_response(status, msg)


class Connection(HTTPConnection):
    """Does the TLS handshake in the worker, once, and ends quietly where it fails."""

    RequestHandlerClass = Request
    rfile: Reader
    body_refused = False
    _greeted = False

    def __init__(self, server: Any, sock: socket.socket, makefile: Callable[..., Any]) -> None:
        super().__init__(
            server, sock, lambda sock, mode, size: Reader(sock) if "r" in mode else makefile(sock, mode, size)
        )
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def communicate(self) -> bool:
        """Answer a request, or all that keep coming the quick way. Whether the connection is to be kept."""
        keep, quick = self._one()
        if not (keep and quick and self.server.seats.acquire(blocking=False)):
            return keep
        try:
            while keep and self._asked_again():
                keep, _ = self._one()
        finally:
            self.server.seats.release()
        return keep

    def _asked_again(self) -> bool:
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        return bool(self.rfile.has_data() or pending or self._poll.poll(LINGER_SECONDS * 1000))

    def _one(self) -> tuple[bool, bool]:
        """Answer one request: whether to keep the connection, and whether it came the quick way."""
        self.server.deadline.begin(self.socket)
        try:
            if not self._greeted and not self._greet():
                return False, False
            if self.rfile.has_data():
                return self._leave_to_cheroot(), False
            seen = self.socket.recv(READ_BYTES)
            if not seen:
                return False, False
            head = read_head(seen)
            act = self.server.quick.get(head.line) if head else None
            if head is None or act is None or head.body_bytes > self.server.max_request_body_size:
                self.rfile.put_back(seen)
                return self._leave_to_cheroot(), False
            return self._answer(seen, head, act), True
        except OSError as error:
            log.info("client left", client=self.remote_addr, error=str(error))
            return False, False
        finally:
            self.server.deadline.end(self.socket)

    def _greet(self) -> bool:
        self._greeted = True
        if not isinstance(self.socket, ssl.SSLSocket):
            return True
        try:
            self.socket.settimeout(HANDSHAKE_SECONDS)
            self.socket.do_handshake()
            self.socket.settimeout(SOCKET_SECONDS)
        except OSError as error:
            log.info("TLS refused", client=self.remote_addr, error=str(error))
            return False
        return True

    def _answer(self, seen: bytes, head: Head, act: Callable[[bytes], Answer]) -> bool:
        end = head.bytes + head.body_bytes
        if len(seen) > end:
            self.rfile.put_back(seen[end:])
        body = seen[head.bytes : end]
        if len(body) < head.body_bytes:
            body += self.rfile.read(head.body_bytes - len(body))
            if len(body) < head.body_bytes:
                return False
        answer = act(body)
        close = answer.close or not self.server.can_add_keepalive_connection
        self.socket.sendall(answer.on_the_wire(close=close))
        if answer.afterwards is not None:
            answer.afterwards()
        return not close

    def _leave_to_cheroot(self) -> bool:
        keep = bool(super().communicate())  # type: ignore[no-untyped-call]
        if self.body_refused:
            self._discard()
        return keep

    def _discard(self) -> None:
        """Take in what the client still sends, for a while, so that it reads our answer and not a reset."""
        end = time.monotonic() + DISCARD_SECONDS
        try:
            self.socket.settimeout(DISCARD_SECONDS)
            while time.monotonic() < end and self.socket.recv(DISCARD_BYTES):
                continue
        except OSError as error:
            log.info("client left", client=self.remote_addr, error=str(error))
