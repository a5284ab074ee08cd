"""Extenders of a scenario's own beside the installed one, and the address behind which they stand."""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.demo.endpoints import LOOPBACK, http_port
from hack.demo.processes import Process

from tests.e2e.endpoint import Endpoint
from tests.e2e.lab import CLUSTER, run, until

CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Beside:
    """One that listens, which is before it is ready."""

    process: Process
    endpoint: Endpoint


@contextlib.contextmanager
def beside(folder: Path, name: str, *options: str) -> Iterator[Beside]:
    """`partita-scheduler run` with these options, over plain HTTP on loopback; killed afterwards."""
    command = ["partita_scheduler", "run", "--kubeconfig", run(CLUSTER, "kubeconfig").strip(), "--no-explain"]
    process = Process(name, [*command, "--listen", f"{LOOPBACK}:0", *options], folder / f"{name}.log")
    process.start()
    try:
        port = until(f"{name} listens", lambda: http_port(process))
        yield Beside(process, Endpoint(f"http://{LOOPBACK}:{port}"))
    finally:
        process.kill()


class Service(socketserver.ThreadingTCPServer):
    """What a Service is to kube-scheduler: one address, and behind it whichever extender is ready.

    Of those that are ready, one that is ending is taken where there is no other (KEP-1669). What a real one has more
    is the time until it knows.
    """

    daemon_threads = True

    def __init__(self, extenders: Sequence[Endpoint]) -> None:
        super().__init__((LOOPBACK, 0), _Connection)
        self.extenders = list(extenders)
        self.ending: set[Endpoint] = set()
        self.url = f"http://{LOOPBACK}:{self.server_address[1]}"

    def chosen(self) -> Endpoint | None:
        """Whom a new connection comes to."""
        ready = [one for one in self.extenders if one.ready()]
        return min(ready, key=self.ending.__contains__, default=None)

    @classmethod
    @contextlib.contextmanager
    def of(cls, *extenders: Endpoint) -> Iterator[Service]:
        with cls(extenders) as service:
            threading.Thread(target=service.serve_forever, daemon=True).start()
            yield service
            service.shutdown()


class _Connection(socketserver.BaseRequestHandler):
    server: Service

    def handle(self) -> None:
        """Hand on what comes, both ways, until one side ends it. With nobody ready it is ended at once."""
        extender = self.server.chosen()
        if extender is None:
            return
        host, port = extender.url.removeprefix("http://").split(":")
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host, int(port))) as behind,
            selectors.DefaultSelector() as both,
        ):
            both.register(self.request, selectors.EVENT_READ, behind)
            both.register(behind, selectors.EVENT_READ, self.request)
            while True:
                for key, _ in both.select():
                    piece = key.fileobj.recv(CHUNK_BYTES)  # type: ignore[union-attr]
                    if not piece:
                        return
                    key.data.sendall(piece)
