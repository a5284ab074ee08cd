"""Slices by node, kept from change to change."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from partita_plugins.wire.resource import ResourceSlice


class SliceIndex:
    """Slices by node, each node's sorted by name. A changed slice makes its own node's tuple anew, no other."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, ResourceSlice]] = {}
        self._sorted: dict[str, tuple[ResourceSlice, ...]] = {}
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        self._value: Mapping[str, tuple[ResourceSlice, ...]] = {}

    def change(self, old: ResourceSlice | None, new: ResourceSlice | None) -> None:
        """Listener of the watch on slices."""
        with self._lock:
            if old is not None:
                self._by_node.get(_node(old), {}).pop(old.metadata.name, None)
                self._changed.add(_node(old))
            if new is not None:
                self._by_node.setdefault(_node(new), {})[new.metadata.name] = new
                self._changed.add(_node(new))

    def value(self) -> Mapping[str, tuple[ResourceSlice, ...]]:
        with self._lock:
            if self._changed:
                for node in self._changed:
                    self._resort(node)
                self._changed.clear()
                self._value = dict(self._sorted)
            return self._value

    def _resort(self, node: str) -> None:
        slices = self._by_node.get(node)
        if slices:
            self._sorted[node] = tuple(slices[name] for name in sorted(slices))
        else:
            self._by_node.pop(node, None)
            self._sorted.pop(node, None)


def _node(found: ResourceSlice) -> str:
    return found.spec.node_name or ""
