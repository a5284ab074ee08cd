"""What a driver says about the health of its devices, over the stream that it advertises."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import grpc

from partita_plugins.testing.kubelet.drivers import HEALTH_SERVICES, Driver

DEFAULT_TIMEOUT_SECONDS = 30
"""How long a report holds where the driver does not say."""

DEVICES_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHealth:
    """The latest report about one device."""

    driver: str
    pool: str
    device: str
    health: str
    """HEALTHY, UNHEALTHY or UNKNOWN."""
    message: str
    received_at: float
    """Monotonic time; the kubelet trusts its own clock only."""
    timeout_seconds: int

    def current(self, now: float) -> str:
        """The health as it counts now: an old report says nothing."""
        return self.health if now - self.received_at <= self.timeout_seconds else "UNKNOWN"


class HealthWatch:
    """Reads one driver's stream, again and again; the latest complete report counts."""

    def __init__(self, driver: Driver, retry_seconds: float) -> None:
        self._driver, self._retry_seconds = driver, retry_seconds
        self.version = next((name for name in HEALTH_SERVICES if name in driver.info.versions), "")
        self.reports: tuple[DeviceHealth, ...] = ()
        self._ended = threading.Event()
        self._call: grpc.Call | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self.version:
            self._thread = threading.Thread(target=self._run, name="health", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._call is not None:
            self._call.cancel()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def step(self) -> None:
        """Read the stream until it breaks."""
        service, messages = HEALTH_SERVICES[self.version]
        stub = self._driver.channel.unary_stream(
            f"/{service}/NodeWatchResources",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=messages.NodeWatchResourcesResponse.FromString,
        )
        try:
            self._call = stream = stub(messages.NodeWatchResourcesRequest(), wait_for_ready=True)
            for answer in stream:
                now = time.monotonic()
                self.reports = tuple(
                    DeviceHealth(
                        driver=self._driver.info.name,
                        pool=entry.device.pool_name,
                        device=entry.device.device_name,
                        health=messages.HealthStatus.Name(entry.health),
                        message=entry.message,
                        received_at=now,
                        timeout_seconds=entry.health_check_timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
                    )
                    for entry in answer.devices[:DEVICES_MAX]
                )
        except (grpc.RpcError, ValueError):
            return  # the driver went away or the channel was closed

    def _run(self) -> None:
        while not self._ended.is_set():
            self.step()
            self._ended.wait(self._retry_seconds)
