"""The driver put together and running in a thread, with the claim engine played by a fake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from partita_driver.app import Driver
from partita_driver.engine import PreparedClaim, PreparedDevice
from partita_driver.engine.validation.idle import IdleGpu
from partita_driver.health.faults import Fault
from partita_driver.journal.records import GpuLook
from partita_driver.kubelet.sockets import SocketPaths, socket_paths
from partita_driver.opening.options import Options
from partita_plugins.errors import Retryable
from partita_plugins.kubelet_api import dra_v1_pb2, registration_pb2
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.instances import GpuProcess
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import SlottedHardware
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.edge.channels import connected
from tests.driver.edge.one_claim import DEVICE
from tests.driver.edge.worlds import node_options
from tests.waiting import WAIT_SECONDS


class FakeEngine:
    """The claim engine's interface over a dictionary. The last one made is `latest`."""

    latest: FakeEngine
    start_failures = 0

    idle = True

    def __init__(self, *, backend: Any, on_faults: Callable[[Sequence[Fault]], None], **_: Any) -> None:
        self._backend, self._on_faults = backend, on_faults
        self._faults: list[Fault] = []
        self.unprepared: list[str] = []
        self.findings: tuple[str, ...] = ("the journal was damaged",)
        self.reconciled = 0
        self.unconfirmed = False
        FakeEngine.latest = self

    def start(self) -> None:
        if FakeEngine.start_failures:
            FakeEngine.start_failures -= 1
            raise Retryable("no GPU list", delay_seconds=0.01)
        hardware = self._backend.discover()
        self.node = SlottedHardware(hardware=hardware, slots=tuple(range(len(hardware.gpus))))

    def refresh(self) -> bool:
        return False

    def confirm(self) -> None:
        self.unconfirmed = False

    def idle_processes(self) -> dict[str, tuple[GpuProcess, ...]]:
        return {}

    def prepare_read(self, _claim_uid: str, _read: Callable[[], ResourceClaim]) -> tuple[PreparedDevice, ...]:
        return (DEVICE,)

    def unprepare(self, claim_uid: str) -> None:
        self.unprepared.append(claim_uid)

    def reconcile(self) -> None:
        self.reconciled += 1

    def reconcile_claims(self, holds: Callable[[str, str, str], bool], *, gone_seconds: float) -> tuple[str, ...]:
        return () if holds("default", "train", "uid-1") else ("uid-1",)

    def faults(self) -> tuple[Fault, ...]:
        return tuple(self._faults)

    def add_faults(self, *faults: Fault) -> None:
        self._faults += faults
        self._on_faults(faults)

    def revalidate(self, _fault: Fault) -> bool:
        return False

    def check_health(self) -> None:
        """All GPUs are well."""

    def idle_gpus(self) -> tuple[IdleGpu, ...]:
        return ()

    def stop_idle_looks(self) -> None:
        """Nothing is looked at."""

    @property
    def looks(self) -> Mapping[str, GpuLook]:
        return {}

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        return tuple(self._backend.wait_events(timeout_seconds))

    def close(self, _deadline_seconds: float) -> bool:
        return self.idle

    def prepared(self) -> Mapping[str, PreparedClaim]:
        return {}

    claims = prepared

    def foreign_placements(self) -> frozenset[tuple[int, Placement]]:
        return frozenset()


@dataclass
class Running:
    driver: Driver
    options: Options
    thread: threading.Thread = field(init=False)
    ended: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=lambda: self.ended.append(self.driver.run()), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.driver.stop()
        self.thread.join(WAIT_SECONDS)
        assert not self.thread.is_alive()

    @property
    def sockets(self) -> SocketPaths:
        options = self.options
        return socket_paths("gpu.partita.dev", options.registry_dir, options.plugin_dir, options.pod_uid)

    @property
    def registrar(self) -> Path:
        return self.sockets.registrar

    def register(self) -> None:
        """Says, as the kubelet does once it sees the socket, that the plugin is registered."""
        status = registration_pb2.RegistrationStatus(plugin_registered=True)
        with connected(self.registrar) as channel:
            channel.unary_unary(
                "/pluginregistration.Registration/NotifyRegistrationStatus",
                request_serializer=registration_pb2.RegistrationStatus.SerializeToString,
                response_deserializer=registration_pb2.RegistrationStatusResponse.FromString,
            )(status, timeout=WAIT_SECONDS)

    def unprepare(self, uid: str) -> str:
        request = dra_v1_pb2.NodeUnprepareResourcesRequest(claims=[dra_v1_pb2.Claim(uid=uid)])
        with connected(self.sockets.plugin) as channel:
            answer = channel.unary_unary(
                "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources",
                request_serializer=dra_v1_pb2.NodeUnprepareResourcesRequest.SerializeToString,
                response_deserializer=dra_v1_pb2.NodeUnprepareResourcesResponse.FromString,
            )(request, timeout=WAIT_SECONDS)
        return str(answer.claims[uid].error)


@contextmanager
def running(directory: Path, server: ApiServer, pod_uid: str = "") -> Iterator[Running]:
    server.write_kubeconfig(directory / "kubeconfig")
    options = node_options(directory, http_address="127.0.0.1:0", pod_uid=pod_uid)
    world = Running(Driver(options), options)
    yield world
    world.stop()
