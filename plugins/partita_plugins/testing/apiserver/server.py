"""The embedded Kubernetes API server: real HTTP on a loopback port, and the same verbs for Python callers."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Self

from partita_plugins.testing.apiserver.faults import Faults
from partita_plugins.testing.apiserver.http import HttpServer, Seen
from partita_plugins.testing.apiserver.local import LocalApi
from partita_plugins.testing.apiserver.routes import Routes
from partita_plugins.testing.apiserver.store import HISTORY_MAX, Store
from partita_plugins.testing.running import Running

NAMESPACES = ("default", "kube-system", "partita-system")
"""They exist from the start, each with a ServiceAccount called `default`."""

LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.05


class ApiServer(LocalApi, Running):
    """An API server for tests and the demo. `with ApiServer() as server:` serves at `server.url`.

    Its objects live as long as it does: stopped and started again it has them all, on the same port.
    """

    def __init__(self, *, port: int = 0, history_max: int = HISTORY_MAX) -> None:
        super().__init__(Store(history_max=history_max))
        self.faults = Faults()
        self._ended = threading.Event()
        self._http: HttpServer | None = None
        self._thread: threading.Thread | None = None
        self._port = port
        self._seen: list[Seen] = []
        for namespace in NAMESPACES:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            account = {"name": "default", "namespace": namespace}
            self.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})

    @property
    def url(self) -> str:
        """Where it serves; known once it has been started."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def requests(self) -> list[Seen]:
        """The latest requests, oldest first."""
        return self._seen + (list(self._http.seen) if self._http else [])

    def start(self) -> Self:
        """Serve. Calling it on a server that serves already does nothing."""
        if self._http is not None:
            return self
        self._ended = ended = threading.Event()
        self._http = HttpServer((LOOPBACK, self._port), Routes(self.operations, ended.is_set), self.faults)
        self._port = self._http.server_address[1]
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(_POLL_SECONDS,), name="apiserver", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Hang up on every client and stop serving; the objects stay."""
        http, self._http = self._http, None
        if http is None or self._thread is None:
            return
        self._ended.set()
        self.faults.clear()
        http.shutdown()
        self._thread.join()
        http.disconnect()
        http.server_close()
        self._seen = list(http.seen)

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig for clients of this server: plain HTTP, no credentials. JSON is YAML."""
        named = {"name": "embedded"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{**named, "cluster": {"server": self.url}}],
            "users": [{**named, "user": {}}],
            "contexts": [{**named, "context": {"cluster": "embedded", "user": "embedded", "namespace": "default"}}],
            "current-context": "embedded",
        }
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return path
