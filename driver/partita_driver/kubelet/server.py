"""Both gRPC servers of the driver: the plugin's socket first, then the one that tells the kubelet about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from partita_driver.fault_points import reached
from partita_driver.kubelet.dra_service import ClaimHandler, DraService
from partita_driver.kubelet.health_service import MAX_STREAMS, HealthService
from partita_driver.kubelet.registration import Registrar, RegistrationState
from partita_driver.kubelet.sockets import SocketPaths, remove_socket
from partita_plugins.errors import Permanent

log = structlog.get_logger(__name__)

MAX_CALLS = 128 + MAX_STREAMS
"""Calls at work, each in a thread that waits for its claims; more are refused, and the kubelet asks again.

The kubelet makes one call for each pod, and 16 GPUs in seven partitions make 112 pods.
"""

REGISTRAR_CALLS = 8
MAX_MESSAGE_BYTES = 4 * 2**20
STOP_SECONDS = 20.0
"""At the end, for the kubelet's calls at work."""

ANSWER_SECONDS = 1.0
"""For answers that are on their way when that time is over."""

CLAIMS_SECONDS = 1.0
"""For claims whose call was given up."""

REGISTRAR_SECONDS = 2.0


class KubeletServer:
    """Serves the kubelet until stopped. Registration begins when start() returns."""

    longest_stop_seconds = STOP_SECONDS + ANSWER_SECONDS + CLAIMS_SECONDS + REGISTRAR_SECONDS

    def __init__(
        self,
        *,
        driver: str,
        sockets: SocketPaths,
        claims: ClaimHandler,
        on_registered: Callable[[], None],
        health_address: str = "",
    ) -> None:
        self.health = HealthService()
        self._sockets = sockets
        self._dra = DraService(claims)
        self._registrar = Registrar(driver, str(sockets.plugin), on_registered)
        self._probe = health.HealthServicer()
        self._plugin_server = _server(MAX_CALLS, [*self._dra.handlers(), *self.health.handlers()])
        self._registrar_server = _server(REGISTRAR_CALLS, [self._registrar.handler()])
        health_pb2_grpc.add_HealthServicer_to_server(self._probe, self._plugin_server)
        self._health_address = health_address
        self.health_port = 0
        """TCP port of the standard health service once started; 0: on the plugin's socket only."""

        self._started = False
        self.set_serving(serving=False)

    @property
    def registration(self) -> RegistrationState:
        return self._registrar.state

    def set_serving(self, *, serving: bool) -> None:
        """What the standard gRPC health service answers."""
        status = health_pb2.HealthCheckResponse
        self._probe.set("", status.SERVING if serving else status.NOT_SERVING)

    def start(self) -> None:
        """Listen, unless it does already. Raises Permanent where a socket cannot be made."""
        if self._started:
            return
        self._started = True
        _bind(self._plugin_server, self._sockets.plugin)
        if self._health_address:
            self.health_port = _add_port(self._plugin_server, self._health_address)
            if not self.health_port:
                raise Permanent(f"cannot listen on {self._health_address}", advice="choose another --health-address")
        self._plugin_server.start()
        reached("plugin-listening")
        # The kubelet connects to the plugin's socket as soon as it sees the registrar's.
        _bind(self._registrar_server, self._sockets.registrar)
        self._registrar_server.start()
        log.info("serving the kubelet", plugin=str(self._sockets.plugin), registrar=str(self._sockets.registrar))

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Take no more calls, let those at work finish for a while, and remove the sockets. Idempotent."""
        if not self._started:
            return
        self._probe.enter_graceful_shutdown()
        self.health.stop()
        plugin_stopped = self._plugin_server.stop(grace=timeout_seconds)
        if not plugin_stopped.wait(timeout_seconds + ANSWER_SECONDS):
            log.warning("calls were still at work when the driver stopped")
        self._dra.close(timeout_seconds=CLAIMS_SECONDS)
        self._registrar_server.stop(grace=REGISTRAR_SECONDS / 2).wait(REGISTRAR_SECONDS)
        for path in (self._sockets.plugin, self._sockets.registrar):
            remove_socket(path)


def _server(calls: int, handlers: Sequence[Any]) -> Any:
    return grpc.server(
        ThreadPoolExecutor(calls, thread_name_prefix="grpc"),
        handlers=handlers,
        maximum_concurrent_rpcs=calls,
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        ],
    )


def _bind(server: Any, path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        remove_socket(path)
    except OSError as error:
        raise Permanent(
            f"cannot make the socket {path}: {error.strerror}", advice="run as root on a node with a kubelet"
        ) from error
    # With "unix://" gRPC counts the two slashes as part of the path, which may have 107 bytes.
    if not _add_port(server, f"unix:{path}"):
        raise Permanent(f"cannot listen on {path}", advice="check that no other instance of the driver runs there")


def _add_port(server: Any, address: str) -> int:
    """The port bound, 1 for a unix socket; 0 where it cannot be."""
    try:
        return int(server.add_insecure_port(address))
    except RuntimeError:
        return 0
