"""The server: bounded threads, TCP_NODELAY, mutual TLS, a deadline for each request, and an end without losing any."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import structlog
from cheroot.wsgi import Server as WsgiServer

from partita_plugins.deadline import Deadline
from partita_plugins.errors import InvalidInput
from partita_scheduler.http.address import Address
from partita_scheduler.http.answer import Answer, Quick
from partita_scheduler.http.connection import Connection
from partita_scheduler.http.tls import Adapter, Tls

log = structlog.get_logger(__name__)

THREADS = 8
BACKLOG = 128
REQUEST_SECONDS = 10.0
"""A request that has not been read and answered after this is given up, however lively its client."""

MOST_WAITING = 128
"""Clients that have begun a handshake or a request, or nothing yet: of more, the first is let go."""

MOST_KEPT = 256
"""Connections without a request; beyond, each answer closes its own."""

IDLE_SECONDS = 120
"""After this a kept connection is closed. Longer than the 90 s after which kube-scheduler's side closes it: a question
that meets our closing is lost, and Go does not send a POST again."""

DRAIN_SECONDS = 5


class _Server(WsgiServer):
    ConnectionClass = Connection
    deadline: Deadline
    _connections: Any
    quick: Mapping[bytes, Callable[[bytes], Answer]]
    """By request line."""

    seats: threading.BoundedSemaphore
    """For workers that wait for the next question on their connection; the others serve whoever comes."""

    nodelay = True
    max_request_header_size = 64 * 1024

    def process_conn(self, conn: Connection) -> None:
        """A new client is given a worker once it has said something."""
        if conn.last_used is not None:
            super().process_conn(conn)
            return
        self.deadline.begin(conn.socket)
        self._connections.put(conn)

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        try:
            socket_.bind(bind_addr)
        except OSError:
            socket_.close()
            raise
        return socket_

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        log.log(level, "http", message=str(msg)[:500], exc_info=traceback)


class ExtenderServer:
    """Serves one WSGI application until stopped, and past it what is to be answered the quick way (connection.py)."""

    def __init__(
        self,
        app: Any,
        address: Address,
        *,
        tls: Tls | None,
        max_body_bytes: int,
        threads: int = THREADS,
        kept: int = MOST_KEPT,
        quick: Quick = MappingProxyType({}),
    ) -> None:
        """`kept`: connections kept for their next request; with 0 each gets one answer, and who reads none of many
        answers holds no worker.
        """
        self._server = _Server(
            (address.host, address.port),
            app,
            numthreads=threads,
            max=threads,
            request_queue_size=BACKLOG,
            timeout=IDLE_SECONDS,
            shutdown_timeout=DRAIN_SECONDS,
            accepted_queue_size=BACKLOG,
            accepted_queue_timeout=1,
        )
        self._server.max_request_body_size = max_body_bytes
        self._server.keep_alive_conn_limit = kept
        self._server.deadline = Deadline(REQUEST_SECONDS, most=MOST_WAITING)
        self._server.quick = {f"POST {path} HTTP/1.1".encode("ascii"): act for path, act in quick.items()}
        self._server.seats = threading.BoundedSemaphore(threads // 2)
        self._stopping = threading.Event()
        if tls is not None:
            self._server.ssl_adapter = Adapter(tls)

    def bind(self) -> Address:
        """Begin to listen; the address with the port that was taken. Raises InvalidInput if that is impossible."""
        try:
            self._server.prepare()
        except OSError as error:
            raise InvalidInput(f"cannot listen: {error}", advice="choose another HOST:PORT") from error
        host, port = self._server.bind_addr[:2]
        return Address(host=host, port=port)

    def serve(self) -> None:
        """Answer until stop() is called from another thread."""
        threading.Thread(target=self._server.deadline.run, args=(self._stopping,), name="deadline", daemon=True).start()
        self._server.serve()

    def stop(self) -> None:
        """Take no new connections, let the running requests end (at most DRAIN_SECONDS)."""
        self._server.stop()
        self._stopping.set()
