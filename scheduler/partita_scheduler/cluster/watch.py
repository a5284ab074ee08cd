"""The scheduler's view of the cluster, kept by watches: what changed is rebuilt, the rest is handed out again."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.optional import OptionalReflector
from partita_plugins.kube.reflector import HasMetadata, Key, Listener, Reflector
from partita_plugins.kube.resources import (
    DEVICE_CLASSES,
    DEVICE_TAINT_RULES,
    NODES,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
)
from partita_plugins.wire.resource_claim import DeviceClass, ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_plugins.wire.taint_rule import DeviceTaintRule
from partita_scheduler.cluster.interned import claim_parts, slice_parts
from partita_scheduler.cluster.pods import PodWatch
from partita_scheduler.cluster.slice_index import SliceIndex
from partita_scheduler.cluster.view import ClusterView, Node, Pod

log = structlog.get_logger(__name__)

STALE_SECONDS = 150.0
"""A quiet watch brings a bookmark about every minute; two missed ones mean that it hangs."""

T = TypeVar("T", bound=HasMetadata)
V = TypeVar("V")


class _Version(msgspec.Struct):
    minor: str = ""


class _Piece(Generic[T, V]):
    """One part of the view: made again by `build` when its watch has said something since it was last made."""

    def __init__(self, build: Callable[[Mapping[Key, T]], V]) -> None:
        self._build = build
        self._changed = True
        self._value: V | None = None

    def changed(self, _old: object, _new: object) -> None:
        """Listener of the watch."""
        self._changed = True

    def value(self, reflector: Reflector[T]) -> V:
        # The mark is taken off first: a change that comes while we build marks it again.
        if self._changed or self._value is None:
            self._changed = False
            self._value = self._build(reflector.snapshot())
        return self._value


def _ignore(*_changes: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told of each change, in the thread of its watch; must not block."""

    node: Listener[Node] = _ignore
    slice: Listener[ResourceSlice] = _ignore
    tainted: Callable[[frozenset[str]], None] = _ignore
    """Of nodes whose slices are others because of a rule, as SliceIndex.rule names them."""

    device_class: Listener[DeviceClass] = _ignore
    claim: Listener[ResourceClaim] = _ignore
    version: Callable[[int], None] = _ignore
    """The API server's minor version, whenever it was asked."""


NOBODY = Listeners()


class ClusterWatch:
    """Watches on all that placing needs; `view()` costs nothing while nothing changes."""

    def __init__(
        self,
        api: KubeApi,
        *,
        stale_seconds: float = STALE_SECONDS,
        slices: SliceIndex | None = None,
        pods: PodWatch | None = None,
        listeners: Listeners = NOBODY,
    ) -> None:
        """`slices` may be shared with a listener that needs them while it is told of other changes; `pods` has its
        own listeners, and is started and stopped here."""
        self._api, self._stale_seconds = api, stale_seconds
        self._fresh_until = 0.0
        self._node_piece: _Piece[Node, dict[str, Node]] = _Piece(_by_name)
        self._class_piece: _Piece[DeviceClass, dict[str, DeviceClass]] = _Piece(_by_name)
        self._claim_piece: _Piece[ResourceClaim, Mapping[Key, ResourceClaim]] = _Piece(lambda claims: claims)
        self._slices = slices or SliceIndex()
        # The view has a change before anybody is told of it: no assumption is dropped before its allocation is seen.
        self._nodes = Reflector(api, NODES, Node, both(self._node_piece.changed, listeners.node))
        self._classes = Reflector(
            api, DEVICE_CLASSES, DeviceClass, both(self._class_piece.changed, listeners.device_class)
        )
        self._claims = Reflector(
            api, RESOURCE_CLAIMS, ResourceClaim, both(self._claim_piece.changed, listeners.claim), made=claim_parts
        )
        self._slice_watch = Reflector(
            api, RESOURCE_SLICES, ResourceSlice, both(self._slices.change, listeners.slice), made=slice_parts
        )
        self._tainted, self._version_told = listeners.tainted, listeners.version
        self._rules = OptionalReflector(api, DEVICE_TAINT_RULES, DeviceTaintRule, self._rule_changed)
        self._pods = pods or PodWatch(api)
        self._watches: tuple[Reflector[Any] | PodWatch, ...] = (
            self._nodes,
            self._classes,
            self._claims,
            self._slice_watch,
            self._rules,
            self._pods,
        )
        self._server_minor = 0
        self._lock = threading.Lock()
        self._view = ClusterView()

    def start(self) -> None:
        for watch in self._watches:
            watch.start()

    def stop(self) -> None:
        for watch in self._watches:
            watch.stop()

    def refresh_version(self) -> bool:
        """Ask the API server for its version, whose minor decides the allocator's rules. False: no answer yet."""
        try:
            minor = parse_minor(self._api.request("GET", "/version"))
        except (PartitaError, msgspec.DecodeError) as error:
            log.warning("no version from the API server", error=str(error))
            return False
        if minor != self._server_minor:
            log.info("API server", minor=minor)
        self._server_minor = minor
        self._version_told(minor)
        return True

    @property
    def server_minor(self) -> int:
        """Minor version of the API server; 0 while it is not known."""
        return self._server_minor

    @property
    def age_seconds(self) -> float:
        """Of the oldest watch; infinite before the first contact."""
        return max(watch.age_seconds for watch in self._watches)

    def doubt(self) -> str:
        """Why the view must not be used: "not_synced", "stale", or empty."""
        if time.monotonic() < self._fresh_until:
            return ""  # asked for each pod of the cluster
        if not self._server_minor or not all(watch.synced for watch in self._watches):
            return "not_synced"
        left_seconds = self._stale_seconds - self.age_seconds
        if left_seconds < 0:
            return "stale"
        # No watch can get stale before: what it heard last only gets newer.
        self._fresh_until = time.monotonic() + left_seconds
        return ""

    def view(self) -> ClusterView:
        """The cluster now, without assumptions. The same object, and the same parts, until something changes."""
        with self._lock:
            parts = (
                self._node_piece.value(self._nodes),
                self._slices.value(),
                self._class_piece.value(self._classes),
                self._claim_piece.value(self._claims),
            )
            old = self._view
            before = (old.nodes, old.slices, old.classes, old.claims)
            same = all(new is known for new, known in zip(parts, before, strict=True))
            if not same or old.server_minor != self._server_minor:
                nodes, slices, classes, claims = parts
                self._view = ClusterView(
                    nodes=nodes, slices=slices, classes=classes, claims=claims, server_minor=self._server_minor
                )
            return self._view

    def _rule_changed(self, old: DeviceTaintRule | None, new: DeviceTaintRule | None) -> None:
        self._tainted(self._slices.rule(old, new))

    def unbound_pods(self) -> list[Pod]:
        """Pods without a node, oldest first."""
        return self._pods.unbound_pods()

    def unbound_pod(self, namespace: str, name: str) -> Pod | None:
        return self._pods.unbound_pod(namespace, name)


def parse_minor(raw: bytes) -> int:
    """37 of {"minor": "37+"}. Raises msgspec.ValidationError for an answer without one."""
    digits = re.match(r"\d{1,4}", msgspec.json.decode(raw, type=_Version).minor)
    if digits is None:
        raise msgspec.ValidationError("the answer to /version has no minor version")
    return int(digits[0])


def _by_name(objects: Mapping[Key, T]) -> dict[str, T]:
    return {name: found for (_, name), found in objects.items()}


def both(*told: Listener[T]) -> Listener[T]:
    """One listener for several, in this order."""

    def listen(old: T | None, new: T | None) -> None:
        for one in told:
            one(old, new)

    return listen
