"""One client's connection, request after request.

The TLS handshake is done by the worker that serves the connection, not by the thread that accepts: a client slow with
it costs one worker for a few seconds, and keeps nobody else waiting.
"""

from __future__ import annotations

import ssl
import time

import structlog
from cheroot.server import HTTPConnection, HTTPRequest

log = structlog.get_logger(__name__)

SOCKET_SECONDS = 10
"""A client that goes silent in the middle of a request is dropped after this."""

HANDSHAKE_SECONDS = 2
DISCARD_SECONDS = 2
DISCARD_BYTES = 64 * 1024


class Request(HTTPRequest):
    def simple_response(self, status: str, msg: str = "") -> None:
        self.conn.body_refused = str(status).startswith("413")
        super().simple_response(status, msg)


class Connection(HTTPConnection):
    """Does the TLS handshake in the worker, once, and ends quietly where it fails."""

    RequestHandlerClass = Request
    body_refused = False
    _greeted = False

    def communicate(self) -> bool:
        self.server.deadline.begin(self.socket)
        try:
            return self._communicate()
        finally:
            self.server.deadline.end(self.socket)

    def _communicate(self) -> bool:
        if isinstance(self.socket, ssl.SSLSocket) and not self._greeted:
            try:
                self.socket.settimeout(HANDSHAKE_SECONDS)
                self.socket.do_handshake()
                self.socket.settimeout(SOCKET_SECONDS)
            except OSError as error:
                log.info("TLS refused", client=self.remote_addr, error=str(error))
                return False
            self._greeted = True
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
