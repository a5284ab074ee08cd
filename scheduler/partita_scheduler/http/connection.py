"""One client's connection, request after request.

cheroot reads and answers whatever HTTP allows, and most of what that costs is Python reading fields, and handing the
connection from thread to thread after each request. kube-scheduler asks about every pod of the cluster, and waits.
So a request with a plain head (head.py) for one of the server's quick paths is answered here, and the worker then stays
with the connection while questions keep coming: well under half of the CPU (docs/benchmarks.md, "One call"; uvicorn and
granian took more as well). What is not plain is put back, and cheroot reads all of it.

The TLS handshake is done by workers, step by step, and a head is taken in part by part: between parts the connection
waits with the idle ones. So who connects and says nothing, or half of it, holds no worker, and keeps nobody waiting.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import Any

import structlog
from cheroot.server import HTTPConnection, HTTPRequest

from partita_scheduler.http.answer import Answer
from partita_scheduler.http.fields import StrictFields
from partita_scheduler.http.head import Head, goes_on, read_head
from partita_scheduler.http.reader import READ_BYTES, Reader

log = structlog.get_logger(__name__)

SOCKET_SECONDS = 10
"""A client that goes silent in the middle of a request is dropped after this."""

LINGER_SECONDS = 0.25
"""How long a worker waits for the next question where the last one came the quick way; a stop waits as long."""

TOO_LONG = Answer(body=b'{"Error":"the head is too long"}', status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

DISCARD_SECONDS = 2
DISCARD_BYTES = 64 * 1024


class Step(Enum):
    """What became of a connection that had something to say."""

    CLOSE = "close"
    KEEP = "keep"
    KEEP_QUICK = "keep quick"
    """Answered the quick way: the next question is probably not far."""

    MORE = "more"
    """Only a part of a handshake or of a head has come, or no head yet where no more connections are kept."""


class Request(HTTPRequest):
    """cheroot's, stricter: it tells of a body it has refused, and does not wait for one that nobody has read."""

    header_reader = StrictFields()

    def read_request_headers(self) -> bool:
        read = bool(super().read_request_headers())  # type: ignore[no-untyped-call]
        if b"Transfer-Encoding" in self.inheaders:
            self.close_connection = True  # trailers are never read, and would be taken for the next request
        return read

    def simple_response(self, status: str, msg: str = "") -> None:
        self.conn.body_refused = str(status).startswith("413")
        super().simple_response(status, msg)

    def send_headers(self) -> None:
        if getattr(self.rfile, "remaining", 0) > 0:
            self.close_connection = self.conn.body_refused = True
        super().send_headers()


class Connection(HTTPConnection):
    """Does the TLS handshake in the workers, and ends quietly where it fails."""

    RequestHandlerClass = Request
    rfile: Reader
    body_refused = False
    _seen = b""
    """The beginning of a head."""

    def __init__(self, server: Any, sock: socket.socket, makefile: Callable[..., Any]) -> None:
        super().__init__(
            server, sock, lambda sock, mode, size: Reader(sock) if "r" in mode else makefile(sock, mode, size)
        )
        self._plain = self._greeted = not isinstance(sock, ssl.SSLSocket)
        self._seated = False
        """A worker stays with it."""

        self._ahead: bytes | None = None
        """What a plain connection has brought while a worker waited."""

        if self._plain:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(LINGER_SECONDS))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(SOCKET_SECONDS))
        else:
            self._poll = select.poll()
            self._poll.register(sock, select.POLLIN)
        self._time_out()

    def _time_out(self) -> None:
        """Where it can, the kernel does: Python polls before each call then, and each time the other threads run, which
        follow the cluster and know no hurry."""
        self.socket.settimeout(None if self._plain else SOCKET_SECONDS)

    def communicate(self) -> bool:
        """Take a step, or all that keep coming the quick way. Whether the connection is to be kept."""
        step = self._step()
        keep = step is not Step.CLOSE
        if step is Step.KEEP_QUICK and self.server.seats.acquire(blocking=False):
            self._seated = True
            try:
                while keep and self._asked_again():
                    keep = self._step() is not Step.CLOSE
            finally:
                self._seated = False
                self.server.seats.release()
        return keep

    def _asked_again(self) -> bool:
        if self.rfile.has_data():
            return True
        if isinstance(self.socket, ssl.SSLSocket):
            return bool(self.socket.pending() or self._poll.poll(LINGER_SECONDS * 1000))
        try:
            self._ahead = self.socket.recv(READ_BYTES)
        except OSError:
            return False  # nothing came; or the client is gone, as the next one who looks will see
        return True

    def _step(self) -> Step:
        self.server.deadline.begin(self.socket)
        step = Step.CLOSE
        try:
            step = self._take_in() if self._greeted else self._greet()
        except OSError as error:
            log.info("client left" if self._greeted else "TLS refused", client=self.remote_addr, error=str(error))
        finally:
            if step is not Step.MORE:
                self.server.deadline.end(self.socket)
        return step

    def _greet(self) -> Step:
        """Go on with the TLS handshake."""
        self.socket.settimeout(0)
        try:
            self.socket.do_handshake()
            self._greeted = True
        except ssl.SSLWantReadError:
            return Step.MORE
        finally:
            self.socket.settimeout(SOCKET_SECONDS)
        # Beyond those that are kept, who asks nothing now still counts with those that have not greeted.
        return Step.KEEP if self.server.can_add_keepalive_connection else Step.MORE

    def _take_in(self) -> Step:
        if self.rfile.has_data():
            return self._leave_to_cheroot()
        some, self._ahead = self._ahead, None
        if some is None:
            some = self.socket.recv(READ_BYTES)
        if not some:
            return Step.CLOSE
        seen, self._seen = self._seen + some, b""
        head = read_head(seen)
        act = self.server.quick.get(head.line) if head else None
        if head is not None and act is not None and head.body_bytes <= self.server.max_request_body_size:
            return self._answer(seen, head, act)
        if not goes_on(seen):
            self.rfile.put_back(seen)
            return self._leave_to_cheroot()
        if len(seen) < self.server.max_request_header_size:
            self._seen = seen
            return Step.MORE
        self.socket.sendall(TOO_LONG.on_the_wire(close=True))  # cheroot would wait for the end of its last line
        self._discard()
        return Step.CLOSE

    def _answer(self, seen: bytes, head: Head, act: Callable[[bytes], Answer]) -> Step:
        end = head.bytes + head.body_bytes
        if len(seen) > end:
            self.rfile.put_back(seen[end:])
        body = seen[head.bytes : end]
        if len(body) < head.body_bytes:
            body += self._rest(head.body_bytes - len(body))
            if len(body) < head.body_bytes:
                return Step.CLOSE
        answer = act(body)
        close = answer.close or not (self._seated or self.server.can_add_keepalive_connection)
        self.socket.sendall(answer.on_the_wire(close=close))
        if answer.afterwards is not None:
            answer.afterwards()
        return Step.CLOSE if close else Step.KEEP_QUICK

    def _rest(self, missing: int) -> bytes:
        """So many bytes and none beyond; fewer where the client leaves, or is cut for being late."""
        parts = []
        while missing:
            try:
                some = self.socket.recv(missing)
            except BlockingIOError:
                continue
            if not some:
                break
            parts.append(some)
            missing -= len(some)
        return b"".join(parts)

    def _leave_to_cheroot(self) -> Step:
        self.socket.settimeout(SOCKET_SECONDS)
        keep = bool(super().communicate())  # type: ignore[no-untyped-call]
        if self.body_refused:
            self._discard()
        if not keep:
            return Step.CLOSE
        self._time_out()
        return Step.KEEP

    def _discard(self) -> None:
        """Take in what the client still sends, for a while, so that it reads our answer and not a reset."""
        if not self.server.seats.acquire(blocking=False):
            return
        end = time.monotonic() + DISCARD_SECONDS
        try:
            self.socket.settimeout(DISCARD_SECONDS)
            while time.monotonic() < end and self.socket.recv(DISCARD_BYTES):
                continue
        except OSError as error:
            log.info("client left", client=self.remote_addr, error=str(error))
        finally:
            self.server.seats.release()


def _timeval(seconds: float) -> bytes:
    """As the kernel takes it."""
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
