"""Many watches of ResourceClaims on one API server: sockets that read, count and forget."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Self
from urllib.parse import quote, urlsplit

from kubernetes import client

PATH = "/apis/resource.k8s.io/v1/resourceclaims"
CONNECT_SECONDS = 10.0
READ_BYTES = 1 << 16
SAMPLE_BYTES_MAX = 1 << 22


class Watchers:
    """One connection for each node, all read by one thread. Closed at the end of the block."""

    def __init__(self, configuration: client.Configuration, selectors_of_nodes: Sequence[str], version: str) -> None:
        """A label selector for each node, empty for all claims; changes since a resource version."""
        self._configuration, self._version = configuration, version
        self._labels = selectors_of_nodes
        self._ready = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.received_bytes = 0
        self.sample = b""
        """What the first connection was sent."""

    def __enter__(self) -> Self:
        for number, labels in enumerate(self._labels):
            self._ready.register(self._connect(labels), selectors.EVENT_READ, number)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for key in list(self._ready.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._ready.close()

    def settle(self, quiet_seconds: float, longest_seconds: float) -> None:
        """Wait until nothing has come for a moment."""
        end = time.monotonic() + longest_seconds
        seen = -1
        while seen != self.received_bytes and time.monotonic() < end:
            seen = self.received_bytes
            time.sleep(quiet_seconds)

    def _connect(self, labels: str) -> socket.socket:
        url = urlsplit(self._configuration.host)
        connection: socket.socket = socket.create_connection((url.hostname or "", url.port or 443), CONNECT_SECONDS)
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=self._configuration.ssl_ca_cert)
            if self._configuration.cert_file:
                context.load_cert_chain(self._configuration.cert_file, self._configuration.key_file)
            connection = context.wrap_socket(connection, server_hostname=url.hostname)
        query = f"watch=true&resourceVersion={self._version}&labelSelector={quote(labels)}"
        head = [f"GET {PATH}?{query} HTTP/1.1", f"Host: {url.netloc}", "Accept: application/json"]
        if token := self._configuration.get_api_key_with_prefix("authorization", "BearerToken"):
            head.append(f"Authorization: {token}")
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        answer = connection.recv(READ_BYTES)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(answer[:200].decode("utf-8", "replace"))
        connection.settimeout(0)
        return connection

    def _read(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._ready.select(0.1):
                self._take(key)

    def _take(self, key: selectors.SelectorKey) -> None:
        while True:
            try:
                data = key.fileobj.recv(READ_BYTES)  # type: ignore[union-attr]
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not data:
                self._ready.unregister(key.fileobj)
                return
            self.received_bytes += len(data)
            if key.data == 0 and len(self.sample) < SAMPLE_BYTES_MAX:
                self.sample += data
