"""A `KubeApi` over HTTP, so that pretended nodes can join a real cluster: its address comes from a kubeconfig."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from partita_plugins.testing.apiserver.errors import ApiError
from partita_plugins.testing.apiserver.local import DEFAULT_NAMESPACE, resource_of
from partita_plugins.testing.apiserver.patches import MERGE_PATCH
from partita_plugins.testing.apiserver.resources import Resource, find
from partita_plugins.testing.kubeapi import Json, Listing

PAGE = 500
TIMEOUT_SECONDS = 10.0
ANSWER_BYTES_MAX = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a cluster is, and with which credentials."""

    url: str
    token: str = ""
    context: ssl.SSLContext | None = None

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Access:
        """The current context's cluster and user; certificates from data or files, or a token."""
        config: Json = msgspec.yaml.decode(path.read_bytes())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"]).get("user") or {}
        url = cluster["server"]
        tls = _tls(cluster, user, path.parent) if urlsplit(url).scheme == "https" else None
        return cls(url=url, token=user.get("token", ""), context=tls)


class HttpApi:
    """The verbs of `KubeApi` as requests to a server. OSError where it does not answer, ApiError where it refuses."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._local = threading.local()
        self._open: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    def create(self, obj: Json, *, namespace: str = "") -> Json:
        resource = resource_of(obj)
        where = obj.get("metadata", {}).get("namespace") or namespace
        return self._ask("POST", _path(resource, where or DEFAULT_NAMESPACE), obj)

    def get(self, kind: str, name: str, namespace: str = "") -> Json:
        return self._ask("GET", _path(find(kind), namespace or DEFAULT_NAMESPACE, name))

    def list(self, kind: str, namespace: str = "", *, label_selector: str = "", field_selector: str = "") -> Listing:
        resource, token, items = find(kind), "", []
        while True:
            query = {"labelSelector": label_selector, "fieldSelector": field_selector, "limit": str(PAGE)}
            page = self._ask("GET", _path(resource, namespace, query={**query, "continue": token}))
            kind_of = {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
            }  # a real server leaves it out of lists
            items += [{**kind_of, **item} for item in page["items"]]
            token = page["metadata"].get("continue", "")
            if not token:
                return Listing(items=items, resource_version=int(page["metadata"]["resourceVersion"]))

    def update(self, obj: Json, *, subresource: str = "") -> Json:
        return self._ask("PUT", _path_of(obj, subresource), obj)

    def patch(self, kind: str, name: str, patch: Json, namespace: str = "", *, subresource: str = "") -> Json:
        path = _path(find(kind), namespace or DEFAULT_NAMESPACE, name, subresource)
        return self._ask("PATCH", path, patch, MERGE_PATCH)

    def delete(
        self, kind: str, name: str, namespace: str = "", *, grace_seconds: int | None = None, uid: str = ""
    ) -> None:
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        options |= {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        options |= {"preconditions": {"uid": uid}} if uid else {}
        self._ask("DELETE", _path(find(kind), namespace or DEFAULT_NAMESPACE, name), options)

    def delete_all(self, kind: str, namespace: str = "", *, label_selector: str = "", field_selector: str = "") -> None:
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._ask("DELETE", _path(find(kind), namespace, query=query))

    def bind(self, pod: Json, node: str) -> None:
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata}
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        self._ask("POST", _path_of(pod, "binding"), {**body, "target": target})

    def wait_for_change(self, kind: str, resource_version: int, timeout: float, *, field_selector: str = "") -> bool:
        """A short watch: its first line is the news. It lasts whole seconds, as the protocol has no others."""
        query = {"watch": "1", "resourceVersion": str(resource_version), "fieldSelector": field_selector}
        query["timeoutSeconds"] = str(max(1, round(timeout)))
        connection = self._connect()
        try:
            connection.request("GET", _path(find(kind), "", query=query), headers=self._headers())
            return bool(connection.getresponse().readline(ANSWER_BYTES_MAX))
        except TimeoutError:
            return False
        except http.client.HTTPException as error:
            raise ConnectionError(f"the API server at {self._access.url} broke off: {error!r}") from error
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: Json | None = None, media: str = "application/json") -> Json:
        content = None if body is None else msgspec.json.encode(body)
        headers = self._headers() | ({"Content-Type": media} if content else {})
        connection = self._own_connection()
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            found: Any = msgspec.json.decode(answer.read(ANSWER_BYTES_MAX))
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
            self._discard(connection)
            raise ConnectionError(f"{method} {path}: no answer from {self._access.url}: {error!r}") from error
        if answer.status >= http.client.BAD_REQUEST:
            raise ApiError(answer.status, found.get("reason", ""), found.get("message", ""))
        return dict(found)

    def _connect(self) -> http.client.HTTPConnection:
        url = urlsplit(self._access.url)
        host, context = url.hostname or "", self._access.context
        if url.scheme == "https":
            return http.client.HTTPSConnection(host, url.port, timeout=TIMEOUT_SECONDS, context=context)
        return http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_SECONDS)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "partita-testing"}
        return headers | ({"Authorization": f"Bearer {self._access.token}"} if self._access.token else {})

    def close(self) -> None:
        """Close the connections of all threads; they open new ones when they ask again."""
        with self._lock:
            for connection in self._open:
                connection.close()

    def _own_connection(self) -> http.client.HTTPConnection:
        """This thread's connection, kept from request to request."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            with self._lock:
                self._open.add(connection)
        return connection

    def _discard(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._local.connection = None
        with self._lock:
            self._open.discard(connection)


def _path_of(obj: Json, subresource: str) -> str:
    metadata = obj["metadata"]
    return _path(resource_of(obj), metadata.get("namespace", ""), metadata["name"], subresource)


def _path(
    resource: Resource, namespace: str, name: str = "", subresource: str = "", *, query: Mapping[str, str] | None = None
) -> str:
    parts = ["apis", resource.group, resource.version] if resource.group else ["api", resource.version]
    if resource.namespaced and namespace:
        parts += ["namespaces", namespace]
    parts += [part for part in (resource.plural, name, subresource) if part]
    asked = urlencode({key: value for key, value in (query or {}).items() if value})
    return "/" + "/".join(quote(part, safe="") for part in parts) + (f"?{asked}" if asked else "")


def _named(entries: Any, name: str) -> Json:
    found: Json = next(entry for entry in entries if entry["name"] == name)
    return found


def _tls(cluster: Json, user: Json, folder: Path) -> ssl.SSLContext:
    with contextlib.ExitStack() as held:

        def file(source: Json, key: str) -> str | None:
            """The path of a certificate or key; one given as data is put into a file that only we can read."""
            if data := source.get(f"{key}-data"):
                written = held.enter_context(tempfile.NamedTemporaryFile())
                written.write(base64.b64decode(data))
                written.flush()
                return written.name
            return str(folder / source[key]) if source.get(key) else None

        context = ssl.create_default_context(cafile=file(cluster, "certificate-authority"))
        certificate = file(user, "client-certificate")
        if certificate:
            context.load_cert_chain(certificate, file(user, "client-key"))
        return context
