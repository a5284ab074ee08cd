"""Finds drivers by their registration sockets, keeps those that answer, and wipes the slices of those that are gone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from partita_plugins.testing.apiserver.errors import ApiError
from partita_plugins.testing.kubeapi import KubeApi
from partita_plugins.testing.kubelet.drivers import (
    SERVICES,
    CallFailed,
    Driver,
    DriverInfo,
    connect,
    get_info,
    notify,
)
from partita_plugins.testing.kubelet.health import HealthWatch
from partita_plugins.testing.kubelet.settings import KubeletSettings

Signature = tuple[int, int]
"""Inode and time of a socket: another one in the same place is another driver."""

REFUSED_PAUSE_SECONDS = 1.0
_LOST = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)


@dataclass(slots=True, kw_only=True)
class Instance:
    """One driver process behind one registration socket."""

    signature: Signature
    driver: Driver
    health: HealthWatch
    since: float
    connected: bool = True
    ready: bool = False
    """Whether there has been a connection; before that, an idle channel means nothing."""
    on_state: Callable[[grpc.ChannelConnectivity], None] | None = field(default=None, repr=False)

    def watch_connection(self) -> None:
        """Follow the connection, and try to have one."""

        def seen(state: grpc.ChannelConnectivity) -> None:
            if state is grpc.ChannelConnectivity.READY:
                self.ready = self.connected = True
            elif state in _LOST or (state is grpc.ChannelConnectivity.IDLE and self.ready):
                self.connected = False

        self.ready = False
        if self.on_state is not None:
            self.driver.channel.unsubscribe(self.on_state)
        self.on_state = seen
        self.driver.channel.subscribe(seen, try_to_connect=True)

    def close(self) -> None:
        self.health.stop()
        self.driver.close()


class Registry:
    """The drivers of one node."""

    def __init__(self, api: KubeApi, settings: KubeletSettings) -> None:
        self._api, self._settings = api, settings
        self._instances: dict[Path, Instance] = {}
        self._refused: dict[Path, tuple[Signature, float]] = {}
        self._lost_at: dict[str, float] = {}
        self._lock = threading.RLock()

    def driver(self, name: str) -> Driver:
        """The driver of this name that registered last; CallFailed where there is none."""
        with self._lock:
            found = [entry for entry in self._instances.values() if entry.driver.info.name == name]
            if not found:
                raise CallFailed(f"DRA driver {name} is not registered")
            return max(found, key=lambda entry: (entry.connected, entry.since)).driver

    def drivers(self) -> tuple[DriverInfo, ...]:
        """All that are registered and connected."""
        with self._lock:
            return tuple(entry.driver.info for entry in self._instances.values() if entry.connected)

    def health(self) -> tuple[HealthWatch, ...]:
        with self._lock:
            return tuple(entry.health for entry in self._instances.values())

    def step(self) -> None:
        """Look at the sockets once: register what is new, let go of what is gone, wipe what is long gone."""
        present = {path: found for path in sorted(self._settings.registry.glob("[!.]*.sock")) if (found := _sign(path))}
        for path in [path for path, entry in self._instances.items() if present.get(path) != entry.signature]:
            self._forget(path)
        for path, signature in present.items():
            if path not in self._instances and self._is_due(path, signature):
                self._register(path, signature)
        for entry in list(self._instances.values()):
            if not entry.connected and _answers(entry.driver.info.endpoint):
                entry.watch_connection()
        self._wipe_lost()

    def close(self) -> None:
        for path in list(self._instances):
            self._forget(path)

    def _is_due(self, path: Path, signature: Signature) -> bool:
        refused = self._refused.get(path)
        return refused is None or refused[0] != signature or time.monotonic() >= refused[1]

    def _register(self, path: Path, signature: Signature) -> None:
        channel, timeout = connect(str(path)), self._settings.registration_seconds
        try:
            info = get_info(channel, timeout)
            error = _objection(info)
            notify(channel, error, timeout)
        except CallFailed as failure:
            error = str(failure)
        finally:
            channel.close()
        if error:
            self._refused[path] = (signature, time.monotonic() + REFUSED_PAUSE_SECONDS)
            return
        self._refused.pop(path, None)
        driver = Driver(info, self._settings.call_seconds)
        health = HealthWatch(driver, self._settings.health_retry_seconds)
        entry = Instance(signature=signature, driver=driver, health=health, since=time.monotonic())
        with self._lock:
            self._instances[path] = entry
        entry.watch_connection()
        health.start()

    def _forget(self, path: Path) -> None:
        with self._lock:
            entry = self._instances.pop(path)
        self._lost_at.setdefault(entry.driver.info.name, time.monotonic())
        entry.close()

    def _wipe_lost(self) -> None:
        """The slices of a driver without a connected instance are deleted after a while."""
        now = time.monotonic()
        connected = {info.name for info in self.drivers()}
        for entry in self._instances.values():
            self._lost_at.setdefault(entry.driver.info.name, now)
        for name in connected:
            self._lost_at.pop(name, None)
        for name, since in list(self._lost_at.items()):
            if now - since >= self._settings.wipe_seconds and self._wipe(name):
                del self._lost_at[name]

    def _wipe(self, driver: str) -> bool:
        selector = f"spec.nodeName={self._settings.node_name},spec.driver={driver}"
        try:
            self._api.delete_all("ResourceSlice", field_selector=selector)
        except (ApiError, OSError):
            return False  # tried again at the next step
        return True


def _sign(path: Path) -> Signature | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


def _objection(info: DriverInfo) -> str:
    if info.type != "DRAPlugin":
        return f'plugin type "{info.type}" is not supported: DRAPlugin is'
    if not info.name or not info.endpoint:
        return "name and endpoint are required"
    if not any(version in SERVICES for version in info.versions):
        return f"none of the versions {', '.join(info.versions) or '(none)'} is supported: {', '.join(SERVICES)} are"
    return ""


def _answers(endpoint: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(endpoint)
        except OSError:
            return False
        return True
