"""The driver's sockets over a handler of a test's own, and a kubelet's clients of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from partita_driver.kubelet.dra_service import ClaimRef
from partita_driver.kubelet.server import KubeletServer
from partita_driver.kubelet.sockets import SocketPaths, socket_paths
from partita_plugins.kubelet_api import (
    dra_v1_pb2,
    dra_v1beta1_pb2,
)
from tests.waiting import WAIT_SECONDS

DRIVER = "gpu.partita.dev"
VERSIONS = {"v1": dra_v1_pb2, "v1beta1": dra_v1beta1_pb2}


@dataclass(frozen=True)
class Granted:
    request_names: tuple[str, ...]
    pool: str = "gpu.partita.dev/node-a"
    device: str = "gpu-0"
    cdi_ids: tuple[str, ...] = ("gpu.partita.dev/claim=uid-0",)
    share_id: str | None = "share-1"


@dataclass
class Handler:
    """Answers by claim name, from a table that a test fills."""

    works: dict[str, Callable[[], tuple[Granted, ...]]] = field(default_factory=dict)
    unprepared: list[str] = field(default_factory=list)

    def prepare(self, claim: ClaimRef) -> tuple[Granted, ...]:
        return self.works.get(claim.name, lambda: (Granted(("main/small", "main/large")),))()

    def unprepare(self, claim: ClaimRef) -> None:
        self.unprepared.append(claim.uid)


@dataclass
class Served:
    server: KubeletServer
    handler: Handler
    sockets: SocketPaths
    registered: list[int]

    def channel(self, path: Path | None = None) -> Any:
        return grpc.insecure_channel(f"unix:{path or self.sockets.plugin}")

    def call(
        self,
        verb: str,
        *names: str,
        version: str = "v1",
        timeout: float = WAIT_SECONDS,
        channel: grpc.Channel | None = None,
    ) -> Any:
        messages: Any = VERSIONS[version]
        request = getattr(messages, f"{verb}Request")(
            claims=[messages.Claim(namespace="default", name=name, uid=f"uid-{name}") for name in names]
        )
        with nullcontext(channel) if channel else self.channel() as used:
            return used.unary_unary(
                f"/k8s.io.kubelet.pkg.apis.dra.{version}.DRAPlugin/{verb}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=getattr(messages, f"{verb}Response").FromString,
            )(request, timeout=timeout)

    def prepare(
        self, *names: str, version: str = "v1", timeout: float = WAIT_SECONDS, channel: grpc.Channel | None = None
    ) -> Any:
        return self.call("NodePrepareResources", *names, version=version, timeout=timeout, channel=channel)

    def register(self, verb: str, request: Any, answer: Any) -> Any:
        with self.channel(self.sockets.registrar) as channel:
            return channel.unary_unary(
                f"/pluginregistration.Registration/{verb}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )(request, timeout=WAIT_SECONDS)


@contextmanager
def served(directory: Path, *, plugin: str = "plugin", **options: str) -> Iterator[Served]:
    sockets = socket_paths(DRIVER, directory / "registry", directory / plugin)
    handler, registered = Handler(), []
    server = KubeletServer(
        driver=DRIVER, sockets=sockets, claims=handler, on_registered=lambda: registered.append(1), **options
    )
    server.start()
    yield Served(server, handler, sockets, registered)
    server.stop(2.0)
