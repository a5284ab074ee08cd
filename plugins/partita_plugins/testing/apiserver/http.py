"""HTTP/1.1 with keep-alive around `Routes`: reads bounded requests, writes answers and watches."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from partita_plugins.testing.apiserver.errors import ApiError, bad_request, too_large
from partita_plugins.testing.apiserver.faults import Dropped, Faults
from partita_plugins.testing.apiserver.routes import Request, Response, Routes
from partita_plugins.testing.apiserver.store import encode

BODY_BYTES_MAX = 3 * 1024 * 1024
"""The largest request body, as a real server allows."""

CONNECTIONS_MAX = 1024
REQUESTS_KEPT = 2000
IDLE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request that the server answered, for tests that count them."""

    method: str
    target: str
    code: int
    """0 where the connection was dropped."""
    client: str
    """The User-Agent."""


class HttpServer(ThreadingHTTPServer):
    """A thread per connection, at most `CONNECTIONS_MAX` of them; knows its sockets so that it can end them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], routes: Routes, faults: Faults) -> None:
        self.routes = routes
        self.faults = faults
        self.seen: deque[Seen] = deque(maxlen=REQUESTS_KEPT)
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._connections) >= CONNECTIONS_MAX
            if not full:
                thread = threading.Thread(
                    target=self.process_request_thread, args=(request, client_address), daemon=True
                )
                self._connections[request] = thread
        if full:
            self.shutdown_request(request)
        else:
            thread.start()

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._lock:
            self._connections.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""

    def disconnect(self, timeout: float = 2.0) -> None:
        """Hang up on everybody, and wait until their threads have noticed."""
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + timeout
        for thread in connections.values():
            thread.join(max(0.0, deadline - time.monotonic()))


class Handler(BaseHTTPRequestHandler):
    """Reads one request after another from a connection."""

    server: HttpServer
    protocol_version = "HTTP/1.1"
    server_version = "partita-apiserver"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = -1

    def _serve(self) -> None:
        code = 0
        try:
            request = self._read()
            late = self.server.faults.before(request.method, request.target)
            response = self.server.routes.answer(request)
            if late:
                self.server.faults.strike(late)
            code = response.code
        except ApiError as error:
            code = error.code
            response = Response(code=code, body=encode(error.status()))
        except Dropped:
            self.close_connection = True
            return
        except Exception as error:  # noqa: BLE001 - a mistake of ours must reach the client as a 500, not as silence
            code = 500
            response = Response(code=code, body=encode(ApiError(code, "InternalError", repr(error)).status()))
        finally:
            client = self.headers.get("User-Agent", "")
            self.server.seen.append(Seen(method=self.command, target=self.path, code=code, client=client))
        self._write(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - names that http.server looks for

    def _read(self) -> Request:
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            raise bad_request("chunked requests are not read; send Content-Length")
        length = self.headers.get("Content-Length") or "0"
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True  # its body stays unread, so nothing after it could be understood
            raise too_large(BODY_BYTES_MAX)
        media = (self.headers.get("Content-Type") or "application/json").partition(";")[0].strip().lower()
        return Request(method=self.command, target=self.path, media=media, body=self.rfile.read(int(length)))

    def _write(self, response: Response) -> None:
        self.send_response(response.code)
        self.send_header("Content-Type", response.media)
        if self.close_connection:
            self.send_header("Connection", "close")
        if response.lines is None:
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)
            self.wfile.flush()
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for line in response.lines:
            if line:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()
            elif self._client_is_gone():
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _client_is_gone(self) -> bool:
        """A client that watches sends nothing; if there is something to read, it is the end."""
        waiting = select.poll()
        waiting.register(self.connection, select.POLLIN)
        return bool(waiting.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in http.server
        """Nothing: tests read `seen`."""
