"""Watches: the changes of one resource as lines of JSON, from a version on, for as long as somebody reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from partita_plugins.testing.apiserver.errors import ApiError, Json
from partita_plugins.testing.apiserver.events import shown_bytes, to_shown
from partita_plugins.testing.apiserver.options import ListOptions
from partita_plugins.testing.apiserver.resources import Resource
from partita_plugins.testing.apiserver.selectors import Predicate
from partita_plugins.testing.apiserver.store import Change, Store, Stored, encode

TICK_SECONDS = 0.5
"""How often a watch without news gives its reader the chance to see that the client is gone."""

BOOKMARK_SECONDS = 5.0

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def watch(
    store: Store, resource: Resource, namespace: str, options: ListOptions, ended: Callable[[], bool]
) -> Iterator[bytes]:
    """One event per line; an empty one on every tick without news. From a version too old: one ERROR event."""
    selects = options.selects(resource)
    with store.lock:
        initial: list[Stored] = []
        if options.resource_version in ("", "0") or options.initial_events:
            initial = [
                found
                for found in store.select(resource.storage, namespace)
                if selects(to_shown(resource, found.object))
            ]
            version = store.revision
        else:
            version = int(options.resource_version)
            try:
                store.changes(resource.storage, version)
            except ApiError as error:  # as on a real server: the watch opens, and its only event says so
                return iter([_line("ERROR", encode(error.status()))])
    return _lines(
        store, resource, options, namespace=namespace, ended=ended, selects=selects, initial=initial, version=version
    )


def _lines(
    store: Store,
    resource: Resource,
    options: ListOptions,
    *,
    namespace: str,
    ended: Callable[[], bool],
    selects: Predicate,
    initial: list[Stored],
    version: int,
) -> Iterator[bytes]:
    for found in initial:
        yield _line("ADDED", shown_bytes(resource, found))
    if options.initial_events:
        yield _bookmark(resource, version, {INITIAL_EVENTS_END: "true"})
    deadline = time.monotonic() + options.timeout_seconds
    bookmark_at = time.monotonic() + BOOKMARK_SECONDS
    while not ended() and (left := deadline - time.monotonic()) > 0:
        store.wait(resource.storage, version, min(TICK_SECONDS, left))
        try:
            with store.lock:
                changes, latest = store.changes(resource.storage, version), store.revision
        except ApiError as error:
            yield _line("ERROR", encode(error.status()))
            return
        for change in changes:
            if line := _change_line(resource, namespace, selects, change):
                yield line
        version = latest
        if options.bookmarks and time.monotonic() >= bookmark_at:
            bookmark_at = time.monotonic() + BOOKMARK_SECONDS
            yield _bookmark(resource, version, {})
        elif not changes:
            yield b""
    if options.bookmarks:
        yield _bookmark(resource, version, {})


def _change_line(resource: Resource, namespace: str, selects: Predicate, change: Change) -> bytes:
    """What a watcher with this selection sees of a change: an object may enter or leave the selection."""
    if namespace and change.now.key[0] != namespace:
        return b""
    before = change.before is not None and selects(to_shown(resource, change.before.object))
    now = change.type != "DELETED" and selects(to_shown(resource, change.now.object))
    seen = {(False, True): "ADDED", (True, True): "MODIFIED", (True, False): "DELETED"}.get((before, now))
    return _line(seen, shown_bytes(resource, change.now)) if seen else b""


def _line(kind: str, body: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + body + b"}\n"


def _bookmark(resource: Resource, version: int, annotations: Json) -> bytes:
    metadata: Json = {"resourceVersion": str(version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    return _line("BOOKMARK", encode(body))
