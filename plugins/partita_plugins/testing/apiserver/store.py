"""The objects, their versions, and a bounded history of changes that watches read."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from dataclasses import dataclass

import msgspec

from partita_plugins.testing.apiserver.errors import Json, expired

HISTORY_MAX = 4096
"""Changes kept per resource. A watch that is further behind gets 410 and lists again."""

Key = tuple[str, str]
"""Namespace (empty for cluster-wide objects) and name."""

encode = msgspec.json.encode
decode = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one object. Never changed once made: every reader may share it."""

    object: Json
    """The object. Readers that hand it out decode `raw` instead, so that nobody can change this one."""

    raw: bytes
    """The same as JSON."""

    def copy(self) -> Json:
        found: Json = decode(self.raw)
        return found

    @property
    def metadata(self) -> Json:
        found: Json = self.object["metadata"]
        return found

    @property
    def key(self) -> Key:
        return self.metadata.get("namespace", ""), self.metadata["name"]


def stored(obj: Json) -> Stored:
    return Stored(obj, encode(obj))


@dataclass(frozen=True, slots=True)
class Change:
    """One step in the life of an object."""

    version: int
    """The resource version that it made."""

    type: str
    """ADDED, MODIFIED or DELETED."""

    now: Stored
    """The object after the change; for DELETED its last content, with the version of the deletion."""

    before: Stored | None
    """The object before it, for watches whose selector it left or entered."""


class Store:
    """Objects by resource and key, under one lock. One counter numbers all changes, as etcd does."""

    def __init__(self, *, history_max: int = HISTORY_MAX) -> None:
        self.lock = threading.RLock()
        self.revision = 1
        self._objects: dict[str, dict[Key, Stored]] = defaultdict(dict)
        self._history: dict[str, deque[Change]] = defaultdict(lambda: deque(maxlen=history_max))
        self._forgotten: dict[str, int] = defaultdict(int)
        self._any = threading.Condition(self.lock)
        self._of: dict[str, threading.Condition] = defaultdict(lambda: threading.Condition(self.lock))

    def get(self, storage: str, key: Key) -> Stored | None:
        with self.lock:
            return self._objects[storage].get(key)

    def select(self, storage: str, namespace: str = "") -> list[Stored]:
        """All objects, or those of one namespace, in the order of their keys."""
        with self.lock:
            found = self._objects[storage]
            return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def size(self, storage: str) -> int:
        with self.lock:
            return len(self._objects[storage])

    def oldest(self, storage: str) -> Stored | None:
        """The object that was created first."""
        with self.lock:
            return next(iter(self._objects[storage].values()), None)

    def put(self, storage: str, obj: Json) -> Stored:
        """Keep a new version of an object; it takes the next resource version."""
        with self.lock:
            self.revision += 1
            obj["metadata"]["resourceVersion"] = str(self.revision)
            now = stored(obj)
            before = self._objects[storage].get(now.key)
            self._objects[storage][now.key] = now
            self._record(storage, Change(self.revision, "MODIFIED" if before else "ADDED", now, before))
            return now

    def remove(self, storage: str, key: Key) -> Stored:
        """Take an object out; what comes back carries the version of its deletion."""
        with self.lock:
            self.revision += 1
            before = self._objects[storage].pop(key)
            last = before.copy()
            last["metadata"]["resourceVersion"] = str(self.revision)
            now = stored(last)
            self._record(storage, Change(self.revision, "DELETED", now, before))
            return now

    def changes(self, storage: str, after: int) -> list[Change]:
        """What happened after a version, oldest first; 410 when that is no longer known."""
        with self.lock:
            if after < self._forgotten[storage]:
                raise expired(f"too old resource version: {after} ({self._forgotten[storage]}); list again")
            found: list[Change] = []
            for change in reversed(self._history[storage]):
                if change.version <= after:
                    break
                found.append(change)
            found.reverse()
            return found

    def forget(self) -> None:
        """Drop the history, as etcd's compaction does: every version before now becomes too old."""
        with self.lock:
            for storage in list(self._objects):
                self._history[storage].clear()
                self._forgotten[storage] = self.revision

    def wait(self, storage: str | None, after: int, timeout: float) -> bool:
        """Until something of this resource (or anything) is newer than a version, but no longer than the time-out."""
        with self.lock:
            if storage is None:
                return self._any.wait_for(lambda: self.revision > after, timeout)
            return self._of[storage].wait_for(lambda: self._latest(storage) > after, timeout)

    def _latest(self, storage: str) -> int:
        history = self._history[storage]
        return history[-1].version if history else self._forgotten[storage]

    def _record(self, storage: str, change: Change) -> None:
        history = self._history[storage]
        if len(history) == history.maxlen:
            self._forgotten[storage] = history[0].version
        history.append(change)
        self._of[storage].notify_all()
        self._any.notify_all()
