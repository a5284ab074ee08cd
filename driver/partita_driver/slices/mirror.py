"""What the API server has of this node's slices, as far as we know: the watch and our own writes, the newer wins."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from partita_driver.slices.pool import Published
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.reflector import Listener, Reflector
from partita_plugins.kube.resources import RESOURCE_SLICES
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource_slice import ResourceSlice

GONE_MAX = 256
"""Deleted slices that are remembered: more than a pool has."""


class SliceMirror:
    """Slices by name. Thread-safe; a late event or answer about an older version changes nothing."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._slices: dict[str, ResourceSlice] = {}
        self._gone: deque[str] = deque(maxlen=GONE_MAX)
        """UIDs: the watch may tell of a deletion before the answer to our own write has come."""

    def snapshot(self) -> Mapping[str, ResourceSlice]:
        with self._lock:
            return dict(self._slices)

    def seen(self, old: ResourceSlice | None, new: ResourceSlice | None) -> None:
        """A change as the watch tells it."""
        changed = self.put(new) if new is not None else old is not None and self._drop_seen(old)
        if changed:
            self._on_change()

    def put(self, entry: ResourceSlice) -> bool:
        """Take in a version; False if a newer one is known, or the slice's deletion."""
        with self._lock:
            known = self._slices.get(entry.metadata.name)
            if entry.metadata.uid in self._gone or (known is not None and _version(known) >= _version(entry)):
                return False
            self._slices[entry.metadata.name] = entry
            return True

    def take(self, entry: ResourceSlice) -> None:
        """What the API server has after a conflict, of whatever version: a restored etcd counts from lower ones."""
        with self._lock:
            if entry.metadata.uid not in self._gone:
                self._slices[entry.metadata.name] = entry

    def drop(self, name: str) -> None:
        """The API server says that there is none."""
        with self._lock:
            self._slices.pop(name, None)

    def _drop_seen(self, gone: ResourceSlice) -> bool:
        with self._lock:
            self._gone.append(gone.metadata.uid)
            known = self._slices.get(gone.metadata.name)
            # Put back under the same name meanwhile: the deletion is that of its predecessor.
            if known is None or known.metadata.uid != gone.metadata.uid:
                return False
            del self._slices[gone.metadata.name]
            return True


class SliceWatch(Protocol):
    """Who tells of this node's slices: a Reflector."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    @property
    def synced(self) -> bool: ...


def watch_slices(api: KubeApi, node_name: str, seen: Listener[ResourceSlice]) -> SliceWatch:
    """The API server's watch on the slices of one node."""
    selector = f"spec.driver={DRIVER_NAME},spec.nodeName={node_name}"
    return Reflector(api, RESOURCE_SLICES, ResourceSlice, seen, fieldSelector=selector)


def published(slices: Mapping[str, ResourceSlice]) -> Published:
    """Devices and counter sets of all slices, in the order of their names."""
    ordered = [slices[name] for name in sorted(slices)]
    return Published(
        devices={device.name: device for entry in ordered for device in entry.spec.devices},
        counters=tuple(counters for entry in ordered for counters in entry.spec.shared_counters),
    )


def complete(slices: Mapping[str, ResourceSlice]) -> bool:
    """Whether they are all slices of one generation: schedulers allocate from nothing less."""
    pools = [entry.spec.pool for entry in slices.values()]
    return len({pool.generation for pool in pools}) == 1 and {pool.resource_slice_count for pool in pools} == {
        len(pools)
    }


def _version(entry: ResourceSlice) -> int:
    """Resource versions are numbers that grow (KEP-5504)."""
    version = entry.metadata.resource_version
    return int(version) if version.isdecimal() else 0
