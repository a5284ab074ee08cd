"""The plugin protocol as a client: one driver's services, by the versions that it advertises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import grpc

from partita_plugins.kubelet_api import (
    dra_v1_pb2,
    dra_v1beta1_pb2,
    health_v1_pb2,
    health_v1alpha1_pb2,
    registration_pb2,
)

MESSAGE_BYTES_MAX = 16 * 1024 * 1024

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a restarted driver must not inherit the back-off of the one before
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),
)

SERVICES: Mapping[str, tuple[str, Any]] = MappingProxyType(
    {
        "v1.DRAPlugin": ("k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin", dra_v1_pb2),
        "v1beta1.DRAPlugin": ("k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin", dra_v1beta1_pb2),
    }
)
"""What a driver advertises: the service's full name and its messages."""

HEALTH_SERVICES: Mapping[str, tuple[str, Any]] = MappingProxyType(
    {
        "v1.DRAResourceHealth": ("v1.DRAResourceHealth", health_v1_pb2),
        "v1alpha1.DRAResourceHealth": ("v1alpha1.DRAResourceHealth", health_v1alpha1_pb2),
    }
)
"""Newest first, as the kubelet prefers them."""


class CallFailed(Exception):
    """A driver refused, or could not be reached; the text is the driver's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRef:
    """A claim as the protocol names it."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDevice:
    """A device that a driver has made ready."""

    driver: str
    pool: str
    device: str
    requests: tuple[str, ...]
    """Requests it was allocated for; empty for all."""
    cdi_ids: tuple[str, ...]
    share_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverInfo:
    """What a driver says about itself when it registers."""

    name: str
    type: str
    endpoint: str
    versions: tuple[str, ...]


def connect(path: str) -> grpc.Channel:
    """A channel to a Unix socket; it connects with the first call."""
    return grpc.insecure_channel(f"unix:{path}", options=_OPTIONS)


def call(channel: grpc.Channel, method: str, request: Any, answer: Any, timeout: float) -> Any:
    """One unary call; CallFailed carries the code and the driver's text."""
    stub = channel.unary_unary(
        method, request_serializer=lambda message: message.SerializeToString(), response_deserializer=answer.FromString
    )
    try:
        return stub(request, timeout=timeout)
    except grpc.RpcError as error:
        raise CallFailed(f"rpc error: code = {error.code().name} desc = {error.details()}") from error
    except ValueError as error:  # the channel was closed meanwhile
        raise CallFailed(str(error)) from error


def get_info(channel: grpc.Channel, timeout: float) -> DriverInfo:
    method = "/pluginregistration.Registration/GetInfo"
    info = call(channel, method, registration_pb2.InfoRequest(), registration_pb2.PluginInfo, timeout)
    return DriverInfo(name=info.name, type=info.type, endpoint=info.endpoint, versions=tuple(info.supported_versions))


def notify(channel: grpc.Channel, error: str, timeout: float) -> None:
    """Tell a driver that it is registered, or why not."""
    status = registration_pb2.RegistrationStatus(plugin_registered=not error, error=error)
    method = "/pluginregistration.Registration/NotifyRegistrationStatus"
    call(channel, method, status, registration_pb2.RegistrationStatusResponse, timeout)


class Driver:
    """One registered instance of a driver."""

    def __init__(self, info: DriverInfo, call_seconds: float) -> None:
        self.info = info
        self.version = next(version for version in info.versions if version in SERVICES)
        self.channel = connect(info.endpoint)
        self._service, self._messages = SERVICES[self.version]
        self._call_seconds = call_seconds

    def prepare(self, claims: Iterable[ClaimRef]) -> dict[str, tuple[PreparedDevice, ...] | CallFailed]:
        """Devices or error by claim uid; a claim that the driver skipped has no entry."""
        answer = self._call("NodePrepareResources", claims)
        return {
            uid: CallFailed(entry.error) if entry.error else tuple(map(self._device, entry.devices))
            for uid, entry in answer.claims.items()
        }

    def unprepare(self, claims: Iterable[ClaimRef]) -> dict[str, CallFailed | None]:
        """None or error by claim uid."""
        answer = self._call("NodeUnprepareResources", claims)
        return {uid: CallFailed(entry.error) if entry.error else None for uid, entry in answer.claims.items()}

    def close(self) -> None:
        self.channel.close()

    def _call(self, verb: str, claims: Iterable[ClaimRef]) -> Any:
        listed = [self._messages.Claim(namespace=ref.namespace, name=ref.name, uid=ref.uid) for ref in claims]
        request = getattr(self._messages, f"{verb}Request")(claims=listed)
        answer = getattr(self._messages, f"{verb}Response")
        return call(self.channel, f"/{self._service}/{verb}", request, answer, self._call_seconds)

    def _device(self, device: Any) -> PreparedDevice:
        return PreparedDevice(
            driver=self.info.name,
            pool=device.pool_name,
            device=device.device_name,
            requests=tuple(device.request_names),
            cdi_ids=tuple(device.cdi_device_ids),
            share_id=getattr(device, "share_id", ""),
        )
