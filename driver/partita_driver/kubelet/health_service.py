"""The health stream: which devices are well, told to the kubelet on connect, on change, and before it forgets."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import grpc

from partita_plugins.kubelet_api import health_v1_pb2, health_v1alpha1_pb2
from partita_plugins.model.health import HealthState

TIMEOUT_SECONDS = 30
"""After this long without a word the kubelet calls a device's health Unknown."""

RESEND_SECONDS = 10.0

MAX_STREAMS = 4
"""Each stream holds a thread; the oldest ends when one more comes, and the kubelet connects again if it was alive."""

MAX_MESSAGE_BYTES = 1024
"""The kubelet takes no more; with 64 devices a slice all of a node's stay far below gRPC's 4 MiB."""

SERVICES: Mapping[str, ModuleType] = {
    "v1.DRAResourceHealth": health_v1_pb2,
    "v1alpha1.DRAResourceHealth": health_v1alpha1_pb2,
}
"""gRPC service name to its messages, which have the same fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHealth:
    """One published device's health."""

    pool: str
    device: str
    state: HealthState
    """UNKNOWN where its hardware does not answer."""

    message: str = ""
    """Plain sentence; empty when healthy."""


class HealthService:
    """Streams the complete list to every listener. Thread-safe; nothing is sent before the first update."""

    def __init__(self, *, resend_seconds: float = RESEND_SECONDS) -> None:
        self._resend_seconds = resend_seconds
        self._changed = threading.Condition()
        self._devices: tuple[DeviceHealth, ...] | None = None
        self._version = 0
        self._streams: deque[object] = deque(maxlen=MAX_STREAMS)
        self._stopped = False

    def update(self, devices: Sequence[DeviceHealth]) -> None:
        """Set the complete list; listeners hear of it at once if it differs."""
        with self._changed:
            if tuple(devices) != self._devices:
                self._devices = tuple(devices)
                self._version += 1
                self._changed.notify_all()

    def stop(self) -> None:
        """End all streams."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def handlers(self) -> list[Any]:
        """The gRPC services, one for each version."""
        return [
            grpc.method_handlers_generic_handler(
                service,
                {
                    "NodeWatchResources": grpc.unary_stream_rpc_method_handler(
                        lambda _request, context, messages=messages: self._watch(context, messages),
                        request_deserializer=messages.NodeWatchResourcesRequest.FromString,
                        response_serializer=messages.NodeWatchResourcesResponse.SerializeToString,
                    )
                },
            )
            for service, messages in SERVICES.items()
        ]

    def _watch(self, context: Any, messages: ModuleType) -> Iterator[Any]:
        me, seen = object(), -1
        with self._changed:
            self._streams.append(me)
            self._changed.notify_all()
        context.add_callback(self._wake)
        while (current := self._next(me, context, seen)) is not None:
            seen, devices = current
            yield _message(messages, devices)

    def _next(self, me: object, context: Any, seen: int) -> tuple[int, tuple[DeviceHealth, ...]] | None:
        """The next list to send: at once when it is new, again after a while when it is not; None at the end."""
        end = time.monotonic() + self._resend_seconds
        with self._changed:
            while True:
                if self._stopped or me not in self._streams or not context.is_active():
                    return None
                left = end - time.monotonic()
                if self._devices is not None and (self._version != seen or left <= 0):
                    return self._version, self._devices
                # Before the first update nothing is due; a client that leaves wakes us.
                self._changed.wait(self._resend_seconds if self._devices is None else max(left, 0.0))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _message(messages: ModuleType, devices: Sequence[DeviceHealth]) -> Any:
    now = int(time.time())
    return messages.NodeWatchResourcesResponse(
        devices=[
            messages.DeviceHealth(
                device=messages.DeviceIdentifier(pool_name=entry.pool, device_name=entry.device),
                health=messages.HealthStatus.Value(entry.state.upper()),
                last_updated_time=now,
                health_check_timeout_seconds=TIMEOUT_SECONDS,
                message=entry.message.encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore"),
            )
            for entry in devices
        ]
    )
