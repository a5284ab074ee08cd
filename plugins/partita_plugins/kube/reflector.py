"""A cache of one kind of object, kept by a list and a watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Protocol, TypeVar

import structlog

from partita_plugins.errors import Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.changes import Changed, Deleted
from partita_plugins.kube.errors import Gone, Unavailable
from partita_plugins.kube.resources import Resource
from partita_plugins.pauses import Backoff, Draw, Pause, by_chance, spread

log = structlog.get_logger(__name__)

RETRY = Pause(0.2, 30.0)
"""After a list or a watch that failed."""

WATCH_SECONDS = 300.0
"""Shortest time for which a watch is asked."""

SHORT_WATCH_SECONDS = 1.0
"""A watch that ends sooner and says nothing has failed: a server that stops, or a proxy before none."""


class Identity(Protocol):
    """What a cache needs of an object's metadata: which one, and as of when."""

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def resource_version(self) -> str: ...


class HasMetadata(Protocol):
    """Any API object, or what is kept of it."""

    @property
    def metadata(self) -> Identity: ...


T = TypeVar("T", bound=HasMetadata)
Key = tuple[str, str]
"""(namespace, name)."""

Listener = Callable[[T | None, T | None], None]
"""Called with (old, new): new None for a deletion, old None for an addition. In the watch's thread; must not block."""


class Reflector(Generic[T]):
    """Keeps `objects` equal to the API server's, in a daemon thread of its own after start()."""

    def __init__(
        self,
        api: KubeApi,
        resource: Resource,
        as_: type[T],
        listener: Listener[T] | None = None,
        *,
        namespace: str = "",
        keep: Callable[[T], bool] = lambda _: True,
        draw: Draw = by_chance,
        made: Callable[[T], T] | None = None,
        **query: str,
    ) -> None:
        """`keep` says what is held and told of; an object that changes so that it is not is told of as deleted.

        `made` is what becomes of each object just decoded, before anybody sees it.
        """
        self._namespace, self._keep, self._draw = namespace, keep, draw
        self._made: Callable[[T], T] = made or _same
        self._api, self.resource, self._type, self._query = api, resource, as_, query
        self._listener: Listener[T] = listener or _ignore
        self._objects: dict[Key, T] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._last_contact = -float("inf")
        self._version = ""
        """Of the last change taken in: a watch that breaks goes on from there. Empty: list first."""

        self._told = False
        """Whether the listener has taken everything in that is held."""

        self._gone: dict[Key, T] = {}
        """Deleted, which the listener has not taken in."""

        self._thread = threading.Thread(target=self._run, name=f"watch-{resource.plural}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does so at the watch's next line or time-out."""
        self._stopping.set()

    def wait_synced(self, timeout_seconds: float) -> bool:
        """True once the first list has been taken in."""
        return self._synced.wait(timeout_seconds)

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    @property
    def age_seconds(self) -> float:
        """Seconds since the API server last said anything on this watch (bookmarks come about every minute)."""
        return time.monotonic() - self._last_contact

    def snapshot(self) -> Mapping[Key, T]:
        """A copy that nobody changes."""
        with self._lock:
            return dict(self._objects)

    def get(self, name: str, namespace: str = "") -> T | None:
        with self._lock:
            return self._objects.get((namespace, name))

    def _run(self) -> None:
        backoff = Backoff(RETRY, self._draw)
        while not self._stopping.is_set():
            begun, listed = self._version, not self._version
            try:
                if listed:
                    begun = self._version = self._relist()
                self._follow()
                backoff.reset()
            except Gone as error:
                if self._version != begun:
                    backoff.reset()
                self._version = ""
                if listed:  # forgotten already: a server that goes on like that must not be asked without pause
                    self._stopping.wait(backoff.next_seconds(error))
            except Exception as error:  # noqa: BLE001 - credentials, a listener: whatever it is, the cache must go on
                if self._version != begun:
                    backoff.reset()
                pause = backoff.next_seconds(error)
                log.warning(
                    "watch failed", resource=self.resource.plural, error=str(error) or repr(error), retry_seconds=pause
                )
                if not isinstance(error, Retryable):
                    self._version, self._told = "", False
                self._stopping.wait(pause)

    def _relist(self) -> str:
        items, version = self._list()
        self._take_in(items)
        return version

    def _take_in(self, items: Iterable[T]) -> None:
        """These are all that there are: tell what is other than before."""
        with self._lock:
            stale = {**self._gone, **self._objects}
            known = self._objects if self._told else {}
            fresh = {_key(item): _or_known(item, known.get(_key(item))) for item in items if self._keep(item)}
            self._objects = fresh
        self._last_contact = time.monotonic()
        self._told = False
        self._gone = {key: old for key, old in stale.items() if key not in fresh}
        for key, old in list(self._gone.items()):
            self._listener(old, None)
            del self._gone[key]
        for key, item in fresh.items():
            if known.get(key) is not item:
                self._listener(stale.get(key), item)
        self._told = True
        self._synced.set()

    def _list(self) -> tuple[list[T], str]:
        return self._api.list(self.resource, self._namespace, as_=self._type, made=self._made, **self._query)

    def _follow(self) -> None:
        begun, told = time.monotonic(), False
        done = begun
        watch_seconds = int(spread(WATCH_SECONDS, self._draw))
        for change in self._api.watch(
            self.resource,
            self._version,
            self._namespace,
            as_=self._type,
            timeout_seconds=watch_seconds,
            query=self._query,
        ):
            self._last_contact, told = time.monotonic(), True
            if self._stopping.is_set():
                break
            if isinstance(change, Changed):
                item = self._made(change.object)
                self._apply(_key(item), item if self._keep(item) else None)
            elif isinstance(change, Deleted):
                self._apply(_key(change.object), None)
            self._version = change.object.metadata.resource_version
            self._rest(self._last_contact - done)
            done = time.monotonic()
        if not told and time.monotonic() - begun < SHORT_WATCH_SECONDS:
            raise Unavailable(f"the watch on {self.resource.plural} ended at once")

    def _rest(self, waited_seconds: float) -> None:
        """After a change for which the watch has waited so long: a place to let others come, and take them together."""

    def _apply(self, key: Key, new: T | None) -> None:
        with self._lock:
            old = self._objects.pop(key, self._gone.get(key))
            if new is not None:
                self._objects[key] = new
        if old is not None and new is None:
            self._gone[key] = old
        if not (old is None and new is None):
            self._listener(old, new)
        self._gone.pop(key, None)


def _same(found: T) -> T:
    return found


def _or_known(item: T, known: T | None) -> T:
    """The object that we have already where a list tells nothing new of it: nobody need be told then."""
    version = item.metadata.resource_version
    return known if known is not None and version and known.metadata.resource_version == version else item


def _ignore(_old: object, _new: object) -> None:
    """Nobody listens."""


def _key(item: HasMetadata) -> Key:
    return item.metadata.namespace, item.metadata.name
