"""Requests to the API server: values in, values out, errors by what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
import urllib3
from kubernetes import client, config

from partita_plugins.errors import PartitaError, Permanent
from partita_plugins.kube.changes import LEARNING, Change, Failed, Status, decoder
from partita_plugins.kube.errors import NotFound, Unavailable, error_of
from partita_plugins.kube.resources import Resource

T = TypeVar("T")

REQUEST_SECONDS = 10.0
"""Deadline of one request. The kubelet gives a whole Prepare 45 s."""

SILENCE_SECONDS = 90.0
"""A watch that says nothing for so long is taken for broken: bookmarks come about every minute."""

LIST_PAGE = 500
MAX_LINE_BYTES = 16 * 2**20
"""A watch event larger than this is not from an API server (etcd's limit is 1.5 MiB)."""

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    continue_: str = msgspec.field(default="", name="continue")


class _Listing(msgspec.Struct, Generic[T]):
    items: list[T] | None = None
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)


def _same(found: T) -> T:
    return found


class KubeApi:
    """A connection pool to one API server. Thread-safe; every call has a deadline."""

    def __init__(self, configuration: client.Configuration, *, user_agent: str = "partita") -> None:
        self._client = client.ApiClient(configuration)
        self._host = configuration.host.rstrip("/")
        self._user_agent = user_agent
        self._pool = self._client.rest_client.pool_manager

    @classmethod
    def connect(cls, kubeconfig: str | None = None, *, user_agent: str = "partita", pool_size: int = 16) -> KubeApi:
        """From a kubeconfig file if named, else from the pod's own service account, else from ~/.kube/config."""
        configuration = client.Configuration()
        configuration.connection_pool_maxsize = pool_size
        configuration.retries = False
        try:
            if kubeconfig:
                config.load_kube_config(kubeconfig, client_configuration=configuration)
            else:
                try:
                    config.load_incluster_config(client_configuration=configuration)
                except config.ConfigException:
                    config.load_kube_config(client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            where = f" by {kubeconfig}" if kubeconfig else ""
            advice = (
                "give another --kubeconfig" if kubeconfig else "give --kubeconfig FILE or run with a service account"
            )
            raise Permanent(f"no way to the API server{where}: {error}", advice=advice) from error
        return cls(configuration, user_agent=user_agent)

    @property
    def client(self) -> client.ApiClient:
        """The package's own, for the rest of its door."""
        return self._client

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout_seconds: float = REQUEST_SECONDS,
    ) -> bytes:
        """The body of the answer. Raises ApiError by status, or Unavailable."""
        response = self._open(
            method, path, query, body=body, content_type=content_type, timeout_seconds=timeout_seconds, stream=False
        )
        return bytes(response.data)

    def get(self, resource: Resource, name: str, namespace: str = "", *, as_: type[T]) -> T:
        return msgspec.json.decode(self.request("GET", resource.path(name, namespace)), type=as_)

    def list(
        self, resource: Resource, namespace: str = "", *, as_: type[T], made: Callable[[T], T] = _same, **query: str
    ) -> tuple[list[T], str]:
        """All objects, page by page, with the resource version to watch from. `made` is what becomes of each."""
        items: list[T] = []
        page: dict[str, Any] = {**query, "limit": LIST_PAGE}
        with LEARNING:
            listings = msgspec.json.Decoder(_Listing[as_])  # type: ignore[valid-type]
        while True:
            listing = listings.decode(
                self.request("GET", resource.path(namespace=namespace), query=page, timeout_seconds=60)
            )
            metadata = listing.metadata
            items += map(made, listing.items or [])
            del listing  # Two pages at once, as they were sent, are tens of MiB of a large cluster's slices.
            if not metadata.continue_:
                return items, metadata.resource_version
            page["continue"] = metadata.continue_

    def create(self, resource: Resource, obj: Any, namespace: str = "", *, dry_run: bool = False) -> bytes:
        """The object as stored, or with `dry_run` as it would be."""
        query = {"dryRun": "All"} if dry_run else None
        return self.request("POST", resource.path(namespace=namespace), query=query, body=obj)

    def replace(self, resource: Resource, name: str, obj: Any, namespace: str = "", subresource: str = "") -> bytes:
        return self.request("PUT", resource.path(name, namespace, subresource), body=obj)

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        subresource: str = "",
        *,
        content_type: str = MERGE_PATCH,
    ) -> bytes:
        path = resource.path(name, namespace, subresource)
        return self.request("PATCH", path, body=patch, content_type=content_type)

    def delete(self, resource: Resource, name: str, namespace: str = "", *, options: Any = None) -> None:
        """Delete one object; one that is not there is a success."""
        try:
            self.request("DELETE", resource.path(name, namespace), body=options)
        except NotFound:
            return

    def watch(
        self,
        resource: Resource,
        resource_version: str,
        namespace: str = "",
        *,
        as_: type[T],
        timeout_seconds: int,
        query: Mapping[str, str] | None = None,
    ) -> Iterator[Change[T]]:
        """Changes since a resource version until the server ends the watch. Raises Gone when it is too old."""
        options = {
            **(query or {}),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": timeout_seconds,
        }
        decode = decoder(as_).decode
        response = self._open(
            "GET",
            resource.path(namespace=namespace),
            options,
            body=None,
            content_type="",
            timeout_seconds=min(timeout_seconds + 15.0, SILENCE_SECONDS),
            stream=True,
        )
        try:
            for line in _lines(response):
                change = decode(line)
                if isinstance(change, Failed):
                    raise error_of(change.object.code, change.object.reason, change.object.message)
                yield change
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"the watch on {resource.plural} broke: {error}") from error
        finally:
            response.close()

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        *,
        body: Any,
        content_type: str,
        timeout_seconds: float,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": self._user_agent}
        try:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, None)
        except (config.ConfigException, OSError) as error:
            raise Unavailable(f"the credentials for the API server cannot be renewed: {error}") from error
        if body is not None:
            headers["Content-Type"] = content_type
        url = f"{self._host}{path}" + (f"?{urlencode(query)}" if query else "")
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        timeout = urllib3.Timeout(connect=min(5.0, timeout_seconds), read=timeout_seconds)
        try:
            response = self._pool.request(
                method, url, body=data, headers=headers, timeout=timeout, preload_content=not stream, retries=False
            )
            refusal = _answer_error(response) if response.status >= 400 else None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"no answer from the API server to {method} {path}: {error}") from error
        if refusal:
            raise refusal
        return response


def _answer_error(response: urllib3.BaseHTTPResponse) -> PartitaError:
    raw = response.data[:4096]
    try:
        status = msgspec.json.decode(response.data, type=Status)
    except msgspec.DecodeError:
        status = Status(message=raw.decode("utf-8", "replace"))
    return error_of(response.status, status.reason, status.message)


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    pending = b""
    for chunk in response.stream(amt=None, decode_content=True):
        pending += chunk
        *complete, pending = pending.split(b"\n")
        if len(pending) > MAX_LINE_BYTES:
            raise Unavailable("a watch event is larger than any API object")
        yield from (line for line in complete if line)
