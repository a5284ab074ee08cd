"""From a request to an answer: which resource a URL names, which verb a method means. No sockets here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from partita_plugins.testing.apiserver import discovery, errors
from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.events import shown_bytes
from partita_plugins.testing.apiserver.operations import Operations
from partita_plugins.testing.apiserver.options import DeleteOptions, ListOptions, is_dry_run
from partita_plugins.testing.apiserver.paging import Page
from partita_plugins.testing.apiserver.patches import APPLY_PATCH, PATCH_TYPES
from partita_plugins.testing.apiserver.podverbs import POD_VERBS
from partita_plugins.testing.apiserver.resources import BY_PATH, Resource
from partita_plugins.testing.apiserver.store import Stored, encode
from partita_plugins.testing.apiserver.watching import watch

_HEALTH = ("/healthz", "/livez", "/readyz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, read completely."""

    method: str
    target: str
    """Path and query, as sent."""
    media: str = "application/json"
    """Content type of the body, without parameters."""
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer: a body, or lines that come as they happen."""

    code: int = 200
    body: bytes = b""
    lines: Iterator[bytes] | None = None
    media: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What a URL names."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    query: dict[str, str] = field(default_factory=dict)


class Routes:
    """Answers requests over one set of operations; refusals are raised as ApiError."""

    def __init__(self, operations: Operations, ended: Callable[[], bool]) -> None:
        self._operations = operations
        self._ended = ended

    def answer(self, request: Request) -> Response:
        url = urlsplit(request.target)
        if url.path in _HEALTH:
            return Response(body=b"ok", media="text/plain")
        document = discovery.document(url.path)
        if document is not None:
            return Response(body=encode(document))
        address = locate(url.path, dict(parse_qsl(url.query, keep_blank_values=True)))
        if address.subresource in POD_VERBS and address.resource.kind == "Pod":
            return self._pod_verb(request, address)
        return self._on_one(request, address) if address.name else self._on_all(request, address)

    def _on_one(self, request: Request, at: Address) -> Response:
        operations, where = self._operations, (at.resource, at.namespace, at.name)
        dry = is_dry_run(at.query)
        subresource = "status" if at.subresource == "status" else ""
        match request.method:
            case "GET":
                return _object(at.resource, operations.get(*where))
            case "PUT":
                found = operations.update(*where, _json(request), subresource=subresource, dry_run=dry)
                return _object(at.resource, found)
            case "PATCH":
                patch = _patch(request, at.query)
                found = operations.patch(*where, patch, request.media, subresource=subresource, dry_run=dry)
                return _object(at.resource, found)
            case "DELETE":
                found, gone = operations.delete(*where, DeleteOptions.parse(at.query, _optional_json(request)))
                if gone and at.resource.kind != "Pod":
                    body = errors.success(at.name, at.resource.plural, found.metadata["uid"])
                    return Response(body=encode(body))
                return _object(at.resource, found)
            case _:
                raise errors.method_not_allowed()

    def _on_all(self, request: Request, at: Address) -> Response:
        operations = self._operations
        wanted = ListOptions.parse(at.query)
        match request.method:
            case "GET" if at.query.get("watch", "").lower() in ("1", "true"):
                return Response(lines=watch(operations.store, at.resource, at.namespace, wanted, self._ended))
            case "GET":
                return Response(body=list_bytes(at.resource, operations.list(at.resource, at.namespace, wanted)))
            case "POST" if at.namespace or not at.resource.namespaced:
                found = operations.create(at.resource, at.namespace, _json(request), dry_run=is_dry_run(at.query))
                return _object(at.resource, found, code=201)
            case "DELETE" if at.namespace or not at.resource.namespaced:
                options = DeleteOptions.parse(at.query, _optional_json(request))
                page = operations.delete_all(at.resource, at.namespace, wanted, options)
                return Response(body=list_bytes(at.resource, page))
            case _:
                raise errors.method_not_allowed()

    def _pod_verb(self, request: Request, at: Address) -> Response:
        if request.method != "POST":
            raise errors.method_not_allowed()
        POD_VERBS[at.subresource](self._operations, at.namespace, at.name, _json(request))
        return Response(code=201, body=encode(errors.success(code=201)))


def locate(path: str, query: dict[str, str]) -> Address:
    """The resource, object and part that a path names; 404 where it names none."""
    parts = [unquote(part) for part in path.split("/") if part]
    match parts:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            raise errors.unknown_path(path)
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces" and (group, version, rest[2]) in BY_PATH:
        _, namespace, *rest = rest
    resource = BY_PATH.get((group, version, rest[0])) if rest else None
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise errors.unknown_path(path)
    name, subresource = (*rest[1:], "", "")[:2]
    if (subresource and subresource not in resource.subresources) or (name and resource.namespaced and not namespace):
        raise errors.unknown_path(path)
    return Address(resource=resource, namespace=namespace, name=name, subresource=subresource, query=query)


def list_bytes(resource: Resource, page: Page) -> bytes:
    metadata: Json = {"resourceVersion": str(page.version)}
    if page.proceed:
        metadata |= {"continue": page.proceed, "remainingItemCount": page.remaining}
    head = encode({"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata})
    return head[:-1] + b',"items":[' + b",".join(shown_bytes(resource, item) for item in page.items) + b"]}"


def _object(resource: Resource, found: Stored, code: int = 200) -> Response:
    return Response(code=code, body=shown_bytes(resource, found))


def _decode(body: bytes, *, yaml: bool = False) -> object:
    try:
        return msgspec.yaml.decode(body) if yaml else msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.bad_request(f"the body is no valid {'YAML' if yaml else 'JSON'}: {error}") from error


def _json(request: Request) -> Json:
    if request.media not in ("application/json", "application/yaml"):
        raise errors.unsupported_media(request.media, ("application/json", "application/yaml"))
    body = _decode(request.body, yaml=request.media == "application/yaml")
    if not isinstance(body, dict):
        raise errors.bad_request("the body must be a JSON object")
    return body


def _optional_json(request: Request) -> Json:
    return _json(request) if request.body else {}


def _patch(request: Request, query: dict[str, str]) -> object:
    if request.media not in PATCH_TYPES:
        raise errors.unsupported_media(request.media, PATCH_TYPES)
    if request.media == APPLY_PATCH and not query.get("fieldManager"):
        raise errors.bad_request("fieldManager is required for apply patch")
    return _decode(request.body, yaml=request.media == APPLY_PATCH)
