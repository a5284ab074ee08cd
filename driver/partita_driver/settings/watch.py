"""The settings in force on this node: the ConfigMap and the Node's labels, watched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from partita_driver.fault_points import reached
from partita_driver.loop import Loop
from partita_driver.moments import Moment
from partita_driver.settings.parse import CONFIG_MAP, KEY, NodeSettings, Settings, parse_settings
from partita_driver.slices.plan import Owner
from partita_plugins.errors import InvalidInput
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.reflector import Reflector
from partita_plugins.kube.resources import CONFIG_MAPS, NODES
from partita_plugins.wire.objects import ObjectMeta, Struct

log = structlog.get_logger(__name__)

RESYNC_SECONDS = 300.0
SYNC_PAUSE_SECONDS = 0.1


class ConfigMap(Struct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = msgspec.field(default_factory=dict)


class NodeStatus(Struct, frozen=True, kw_only=True):
    allocatable: dict[str, str] = msgspec.field(default_factory=dict)


class Node(Struct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    status: NodeStatus = NodeStatus()


class SettingsWatch:
    """Settings of one node. Wrong ones are reported and change nothing: the last good ones stay in force."""

    longest_stop_seconds = Loop.longest_stop_seconds

    def __init__(
        self,
        api: KubeApi,
        node_name: str,
        namespace: str,
        *,
        on_change: Callable[[NodeSettings], None],
        report: Callable[[Owner, InvalidInput], None],
        on_node: Callable[[], None] = lambda: None,
        remembered: Path | None = None,
    ) -> None:
        """`remembered` is a file that keeps the last good text over restarts of the driver.

        `on_node` is called when the Node's labels or allocatable resources have changed.
        """
        self._on_node = on_node
        self._node_name, self._namespace, self._on_change, self._report = node_name, namespace, on_change, report
        self.loop = Loop("settings", self.step)
        self._maps = Reflector(
            api, CONFIG_MAPS, ConfigMap, self._seen, namespace=namespace, fieldSelector=f"metadata.name={CONFIG_MAP}"
        )
        self._nodes = Reflector(api, NODES, Node, self._node_seen, fieldSelector=f"metadata.name={node_name}")
        self._lock = threading.Lock()
        self._text: str | None = None
        self._remembered = remembered
        self._good = _recalled(remembered)
        self._current: NodeSettings | None = None

    def start(self) -> None:
        self._maps.start()
        self._nodes.start()
        self.loop.start()

    def stop(self) -> None:
        self._maps.stop()
        self._nodes.stop()
        self.loop.stop()

    @property
    def current(self) -> NodeSettings | None:
        """None until the ConfigMap (or its absence) and the Node have been seen."""
        with self._lock:
            return self._current

    def validates(self, moment: Moment) -> bool:
        """Whether devices are validated at this moment; at all of them until settings are known."""
        settings = self.current
        return settings is None or settings.validation.at(moment)

    @property
    def idle_seconds(self) -> float | None:
        """After how long without a look an idle GPU gets one; None until settings are known."""
        settings = self.current
        return settings.validation.idle_seconds if settings else None

    @property
    def owner(self) -> Owner | None:
        """The Node as owner of slices; None until it has been seen."""
        node = self._nodes.get(self._node_name)
        return Owner(node_name=self._node_name, uid=node.metadata.uid) if node else None

    @property
    def node(self) -> Node | None:
        """The Node as the watch has it; None until it has been seen."""
        return self._nodes.get(self._node_name)

    def step(self) -> float:
        """Look at what the watches have. Returns seconds until the next look."""
        node, owner = self._nodes.get(self._node_name), self.owner
        if node is None or owner is None or not self._maps.synced:
            return SYNC_PAUSE_SECONDS
        found = self._maps.get(CONFIG_MAP, self._namespace)
        self._take((found.data if found else {}).get(KEY, ""), owner)
        chosen = self._good.for_labels(node.metadata.labels)
        if chosen != self.current:
            with self._lock:
                self._current = chosen
            log.info("settings in force", offer=str(chosen.offer), validation=str(chosen.validation))
            self._on_change(chosen)
        return RESYNC_SECONDS

    def _take(self, text: str, owner: Owner) -> None:
        if text == self._text:
            return
        self._text = text
        try:
            self._good = parse_settings(text)
            _remember(self._remembered, text)
        except InvalidInput as error:
            log.error("settings refused", error=str(error))  # noqa: TRY400 - the message says it all
            self._report(owner, error)

    def _seen(self, _old: object, _new: object) -> None:
        self.loop.wake()

    def _node_seen(self, old: Node | None, new: Node | None) -> None:
        self.loop.wake()
        if not (old and new and (old.metadata.labels, old.status) == (new.metadata.labels, new.status)):
            self._on_node()


def _remember(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        fresh = path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        reached("settings-written")
        fresh.replace(path)
    except OSError as error:
        log.warning("settings not remembered", error=str(error))


def _recalled(path: Path | None) -> Settings:
    """Wrong settings at the driver's start must not turn a MIG node into a node of whole GPUs."""
    try:
        return parse_settings(path.read_text(encoding="utf-8")) if path else Settings()
    except (OSError, UnicodeDecodeError, InvalidInput):
        return Settings()
