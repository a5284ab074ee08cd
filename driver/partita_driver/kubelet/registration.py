"""Registration: how the kubelet learns our name, socket and API versions, and how we learn that it took them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import grpc
import structlog

from partita_plugins.kubelet_api import registration_pb2

log = structlog.get_logger(__name__)

SERVICE = "pluginregistration.Registration"
PLUGIN_TYPE = "DRAPlugin"

SUPPORTED_VERSIONS = ("v1.DRAPlugin", "v1beta1.DRAPlugin", "v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth")
"""In order of preference: the kubelet takes the first of each service that it knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationState:
    """What the kubelet last said about us."""

    registered: bool = False
    error: str = ""
    """Why it refused us; empty before it said anything."""

    count: int = 0
    """Successful registrations since start; more than one after a kubelet restart."""


class Registrar:
    """Answers the kubelet's plugin watcher. Thread-safe."""

    def __init__(self, driver: str, endpoint: str, on_registered: Callable[[], None]) -> None:
        self._driver, self._endpoint, self._on_registered = driver, endpoint, on_registered
        self._lock = threading.Lock()
        self._state = RegistrationState()

    @property
    def state(self) -> RegistrationState:
        with self._lock:
            return self._state

    def handler(self) -> Any:
        """The gRPC service."""
        methods = {
            "GetInfo": grpc.unary_unary_rpc_method_handler(
                self._get_info,
                request_deserializer=registration_pb2.InfoRequest.FromString,
                response_serializer=registration_pb2.PluginInfo.SerializeToString,
            ),
            "NotifyRegistrationStatus": grpc.unary_unary_rpc_method_handler(
                self._notify,
                request_deserializer=registration_pb2.RegistrationStatus.FromString,
                response_serializer=registration_pb2.RegistrationStatusResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _get_info(self, _request: registration_pb2.InfoRequest, _context: Any) -> registration_pb2.PluginInfo:
        return registration_pb2.PluginInfo(
            type=PLUGIN_TYPE, name=self._driver, endpoint=self._endpoint, supported_versions=SUPPORTED_VERSIONS
        )

    def _notify(
        self, status: registration_pb2.RegistrationStatus, context: Any
    ) -> registration_pb2.RegistrationStatusResponse:
        if not status.plugin_registered:
            with self._lock:
                self._state = replace(self._state, registered=False, error=status.error or "no reason given")
            log.error("the kubelet refused the registration", error=status.error)
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"registration refused: {status.error}")
        with self._lock:
            self._state = RegistrationState(registered=True, count=self._state.count + 1)
        log.info("registered with the kubelet", times=self._state.count)
        # A kubelet that restarted has deleted this node's slices.
        self._on_registered()
        return registration_pb2.RegistrationStatusResponse()
