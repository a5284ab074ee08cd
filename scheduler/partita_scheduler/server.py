"""The listening side: bounded threads, TCP_NODELAY, mutual TLS. Plain HTTP is for loopback alone.

The TLS handshake is done by the worker that serves the connection, not by the thread that accepts: a client slow with
it costs one worker for a few seconds, and keeps nobody else waiting.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import structlog
from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server as WsgiServer

from partita_plugins.deadline import Deadline
from partita_plugins.errors import InvalidInput

log = structlog.get_logger(__name__)

THREADS = 8
BACKLOG = 128
SOCKET_SECONDS = 10
"""A client that goes silent in the middle of a request is dropped after this."""

REQUEST_SECONDS = 10.0
"""A request that has not been read and answered after this is given up, however lively its client."""

HANDSHAKE_SECONDS = 2
DISCARD_SECONDS = 2
DISCARD_BYTES = 64 * 1024
DRAIN_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files: what we show, and whose client certificates we take."""

    certificate: Path
    key: Path
    client_ca: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """ "127.0.0.1:8888", "[::1]:8888" or "localhost:8888". Raises InvalidInput."""
        host, _, port = text.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise InvalidInput(f"{text!r} is not an address", advice='write HOST:PORT, for example "127.0.0.1:8888"')
        return cls(host=host.strip("[]"), port=int(port))

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


class _Adapter(BuiltinSSLAdapter):
    """TLS 1.2 or newer with a client certificate required. Renewed files count from the next connection on."""

    def __init__(self, tls: Tls) -> None:
        context = server_context(tls)
        super().__init__(str(tls.certificate), str(tls.key))
        self.context = context
        self._tls, self._made_from = tls, _changed_at(tls)

    def wrap(self, sock: Any) -> tuple[Any, dict[str, str]]:
        self._reload()
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def _reload(self) -> None:
        found = _changed_at(self._tls)
        if found == self._made_from:
            return
        self._made_from = found
        try:
            self.context = server_context(self._tls)
            log.info("certificates read again")
        except InvalidInput as error:
            log.warning("the old certificates stay in use", error=str(error))


def _changed_at(tls: Tls) -> tuple[int, ...]:
    try:
        return tuple(path.stat().st_mtime_ns for path in (tls.certificate, tls.key, tls.client_ca))
    except OSError:
        return ()  # being replaced: looked at again with the next connection


class _Request(HTTPRequest):
    def simple_response(self, status: str, msg: str = "") -> None:
        self.conn.body_refused = str(status).startswith("413")
        super().simple_response(status, msg)


class _Connection(HTTPConnection):
    """Does the TLS handshake in the worker, once, and ends quietly where it fails."""

    RequestHandlerClass = _Request
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


def server_context(tls: Tls) -> ssl.SSLContext:
    """Refuses clients without a certificate of the client CA. Raises InvalidInput that names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(tls.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"cannot use {tls.certificate}, {tls.key} and {tls.client_ca}: {error}",
            advice="make them with: partita-scheduler certificates --out DIR --host NAME",
        ) from error
    return context


class _Server(WsgiServer):
    ConnectionClass = _Connection
    deadline: Deadline
    nodelay = True
    max_request_header_size = 64 * 1024

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
    """Serves one WSGI application until stopped."""

    def __init__(
        self, app: Any, address: Address, *, tls: Tls | None, max_body_bytes: int, threads: int = THREADS
    ) -> None:
        self._server = _Server(
            (address.host, address.port),
            app,
            numthreads=threads,
            max=threads,
            request_queue_size=BACKLOG,
            timeout=SOCKET_SECONDS,
            shutdown_timeout=DRAIN_SECONDS,
            accepted_queue_size=BACKLOG,
            accepted_queue_timeout=1,
        )
        self._server.max_request_body_size = max_body_bytes
        self._server.deadline = Deadline(REQUEST_SECONDS)
        self._stopping = threading.Event()
        if tls is not None:
            self._server.ssl_adapter = _Adapter(tls)

    def bind(self) -> Address:
        """Begin to listen; the address with the port that was taken. Raises InvalidInput if that is impossible."""
        try:
            self._server.prepare()
        except OSError as error:
            raise InvalidInput(f"cannot listen: {error}", advice="choose another --listen HOST:PORT") from error
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


def check_exposure(address: Address, tls: Tls | None) -> None:
    """Raise InvalidInput where anybody on the network could ask: kube-scheduler sends no token, only a certificate."""
    if tls is None and not address.loopback:
        raise InvalidInput(
            f"plain HTTP on {address.host} would answer anybody",
            advice="give --tls-cert, --tls-key and --client-ca, or listen on 127.0.0.1",
        )
