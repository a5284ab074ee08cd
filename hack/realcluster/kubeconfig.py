"""Kubeconfigs and the requests of `hack/cluster` itself to the API."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.realcluster.errors import ClusterError


def render(pki: Path, identity: str, port: int) -> str:
    """Return a kubeconfig that carries its certificates, so that it can be copied anywhere."""
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": _encoded(pki / "ca.crt"),
    }
    user = {
        "client-certificate-data": _encoded(pki / f"{identity}.crt"),
        "client-key-data": _encoded(pki / f"{identity}.key"),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "partita", "cluster": cluster}],
        "users": [{"name": identity, "user": user}],
        "contexts": [{"name": "partita", "context": {"cluster": "partita", "user": identity}}],
        "current-context": "partita",
    }
    return json.dumps(document, indent=2) + "\n"


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@dataclass(frozen=True, slots=True)
class Api:
    """The API as the administrator: small enough to wait for the cluster with, nothing more."""

    pki: Path
    port: int

    def get(self, path: str) -> dict[str, Any]:
        """Return an object, or an empty one when there is none or the API does not answer yet."""
        try:
            status, body = self._request("GET", path)
        except (OSError, http.client.HTTPException):
            return {}
        return _object(body) if status == http.client.OK else {}

    def answers(self, path: str) -> bool:
        """Say whether the path answers with success."""
        try:
            return self._request("GET", path)[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def patch(self, path: str, change: dict[str, Any]) -> bool:
        """Merge a change into an object; say no when it names an older version of the object."""
        status, body = self._request("PATCH", path, json.dumps(change).encode())
        if status not in (http.client.OK, http.client.CONFLICT):
            msg = f"The API refused to change {path}: {body[:300].decode(errors='replace')}"
            raise ClusterError(msg)
        return status == http.client.OK

    def _request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=5)
        try:
            connection.request(method, path, body, {"Content-Type": "application/merge-patch+json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _object(body: bytes) -> dict[str, Any]:
    value = json.loads(body)
    return value if isinstance(value, dict) else {}
