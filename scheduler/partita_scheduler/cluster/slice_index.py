"""Slices by node, kept from change to change, with the taints of rules on their devices."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from partita_plugins.wire.resource_slice import ResourceSlice
from partita_plugins.wire.taint_rule import DeviceTaintRule
from partita_scheduler.cluster.taint_rules import tainted, touches

Slices = Mapping[str, tuple[ResourceSlice, ...]]
"""By node, each node's sorted by name; under "" those that are not of one node."""


class SliceIndex:
    """A changed slice makes its own node's tuple anew, a changed rule those of the nodes that it touches, no other."""

    def __init__(self, *, all_without_selector: bool = False) -> None:
        """Whether a rule without a deviceSelector taints every device: by version (allocator.rules)."""
        self._all_without_selector = all_without_selector
        self._by_node: dict[str, dict[str, ResourceSlice]] = {}
        """As published."""

        self._rules: dict[str, DeviceTaintRule] = {}
        self._sorted: dict[str, tuple[ResourceSlice, ...]] = {}
        self._changed: set[str] = set()
        self._renewed = False
        """Whether something of `_sorted` is not in the value yet."""

        self._lock = threading.Lock()
        self._value: Slices = {}

    def change(self, old: ResourceSlice | None, new: ResourceSlice | None) -> None:
        """Listener of the watch on slices."""
        with self._lock:
            if old is not None:
                self._by_node.get(_node(old), {}).pop(old.metadata.name, None)
                self._changed.add(_node(old))
            if new is not None:
                self._by_node.setdefault(_node(new), {})[new.metadata.name] = new
                self._changed.add(_node(new))

    def rule(self, old: DeviceTaintRule | None, new: DeviceTaintRule | None) -> frozenset[str]:
        """Take a rule in; the nodes whose slices are others now, "" for those that are not of one node."""
        with self._lock:
            if old is not None:
                self._rules.pop(old.metadata.name, None)
            if new is not None:
                self._rules[new.metadata.name] = new
            if old is not None and new is not None and old.spec == new.spec:
                return frozenset()  # Its status tells how far an eviction is, every ten seconds.
            nodes = list(self._by_node)
        either = [one for one in (old, new) if one is not None]
        # Node by node, here in the watch's thread: a question must not wait for a fleet that one rule taints.
        return frozenset(node for node in nodes if self._retaint(node, either))

    def read_rules(self, *, all_without_selector: bool) -> frozenset[str]:
        """Read them as another version of kube-scheduler does; the nodes whose slices are others now."""
        with self._lock:
            if all_without_selector == self._all_without_selector:
                return frozenset()
            self._all_without_selector = all_without_selector
            concerned = any(one.spec.device_selector is None for one in self._rules.values())
            touched = frozenset(self._by_node if concerned else ())
            self._changed |= touched
            return touched

    def value(self) -> Slices:
        with self._lock:
            if self._changed:
                for node in self._changed:
                    self._resort(node)
                self._changed.clear()
                self._renewed = True
            if self._renewed:
                self._renewed = False
                self._value = dict(self._sorted)
            return self._value

    def _retaint(self, node: str, rules: Iterable[DeviceTaintRule]) -> bool:
        """Whether one of the rules touches the node, whose slices are made anew then."""
        with self._lock:
            slices, everything = self._by_node.get(node, {}).values(), self._all_without_selector
            if not any(touches(rule, one, all_without_selector=everything) for rule in rules for one in slices):
                return False
            self._resort(node)
            self._renewed = True
            return True

    def _resort(self, node: str) -> None:
        slices, everything = self._by_node.get(node), self._all_without_selector
        if slices:
            rules = [self._rules[name] for name in sorted(self._rules)]
            self._sorted[node] = tuple(
                tainted(slices[name], rules, all_without_selector=everything) for name in sorted(slices)
            )
        else:
            self._by_node.pop(node, None)
            self._sorted.pop(node, None)


def indexed(slices: Iterable[ResourceSlice], rules: Iterable[DeviceTaintRule], *, all_without_selector: bool) -> Slices:
    """The same of everything at once."""
    index = SliceIndex(all_without_selector=all_without_selector)
    for rule in rules:
        index.rule(None, rule)
    for one in slices:
        index.change(None, one)
    return index.value()


def _node(found: ResourceSlice) -> str:
    return found.spec.node_name or ""
