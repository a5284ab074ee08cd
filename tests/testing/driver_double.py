"""A driver that keeps the plugin protocol and does nothing: it writes down what it was asked, and answers as told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from threading import Event
from typing import Any

import grpc

from partita_plugins.kubelet_api import dra_v1_pb2, dra_v1beta1_pb2, health_v1_pb2, registration_pb2
from tests.testing.objects import DRIVER

BLOCKED_POLL_SECONDS = 0.05
MESSAGES = {"v1": dra_v1_pb2, "v1beta1": dra_v1beta1_pb2}


class DriverDouble:
    """Serves registration, Prepare, Unprepare and health on two sockets below a kubelet's root."""

    def __init__(self, root: Path, *, version: str = "v1", name: str = DRIVER, announced: Path | None = None) -> None:
        """`announced` is what the kubelet calls the endpoint, where it sees other paths."""
        self.name, self.version, self.messages = name, version, MESSAGES[version]
        self.cdi = root / "cdi"
        self.endpoint = root / "plugins" / f"{name}.sock"
        self.announced = announced or self.endpoint
        self.registration = root / "plugins_registry" / f"{name}-reg.sock"
        self.calls: list[tuple[str, str]] = []
        self.refuse_prepare = ""
        self.refuse_unprepare = ""
        self.skip = False
        self.blocked = Event()
        """While set, calls do not come back."""

        self.registered: list[bool] = []
        self.health = health_v1_pb2.HEALTHY
        self._ended = Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))

    def start(self) -> DriverDouble:
        dra = f"k8s.io.kubelet.pkg.apis.dra.{self.version}.DRAPlugin"
        unary = {"NodePrepareResources": self._prepare, "NodeUnprepareResources": self._unprepare}
        requests = {verb: getattr(self.messages, f"{verb}Request") for verb in unary}
        self._add(dra, {verb: _unary(unary[verb], requests[verb]) for verb in unary})
        info, status = registration_pb2.InfoRequest, registration_pb2.RegistrationStatus
        registration = {"GetInfo": _unary(self._info, info), "NotifyRegistrationStatus": _unary(self._notify, status)}
        self._add("pluginregistration.Registration", registration)
        stream = grpc.unary_stream_rpc_method_handler(
            self._watch, health_v1_pb2.NodeWatchResourcesRequest.FromString, _serialize
        )
        self._add("v1.DRAResourceHealth", {"NodeWatchResources": stream})
        for path in (self.endpoint, self.registration):
            path.unlink(missing_ok=True)
            self._server.add_insecure_port(f"unix:{path}")
        self._server.start()
        return self

    def stop(self) -> None:
        self._ended.set()
        self._server.stop(None).wait()
        for path in (self.endpoint, self.registration):
            path.unlink(missing_ok=True)

    def asked(self, verb: str) -> list[str]:
        """Uids for which this was called, in order."""
        return [uid for called, uid in self.calls if called == verb]

    def write_cdi(self, uid: str) -> None:
        edits = {"env": [f"CLAIM={uid}"], "deviceNodes": [{"path": "/dev/gpu0", "type": "c", "major": 195, "minor": 0}]}
        device = {"name": uid, "containerEdits": edits}
        spec = {"cdiVersion": "0.7.0", "kind": f"{self.name}/claim", "devices": [device]}
        (self.cdi / f"{uid}.json").write_text(json.dumps(spec), encoding="utf-8")

    def _add(self, service: str, handlers: dict[str, Any]) -> None:
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def _info(self, _request: Any, _context: Any) -> Any:
        versions = [f"{self.version}.DRAPlugin", "v1.DRAResourceHealth"]
        return registration_pb2.PluginInfo(
            type="DRAPlugin", name=self.name, endpoint=str(self.announced), supported_versions=versions
        )

    def _notify(self, request: Any, _context: Any) -> Any:
        self.registered.append(request.plugin_registered)
        return registration_pb2.RegistrationStatusResponse()

    def _prepare(self, request: Any, _context: Any) -> Any:
        answer = self.messages.NodePrepareResourcesResponse()
        for claim in request.claims:
            self._called("prepare", claim.uid)
            if self.skip:
                continue
            if self.refuse_prepare:
                answer.claims[claim.uid].error = self.refuse_prepare
                continue
            self.write_cdi(claim.uid)
            ids = [f"{self.name}/claim={claim.uid}"]
            device = answer.claims[claim.uid].devices.add()
            device.request_names.append("gpu")
            device.pool_name, device.device_name = "n1", "gpu-0"
            device.cdi_device_ids.extend(ids)
        return answer

    def _unprepare(self, request: Any, _context: Any) -> Any:
        answer = self.messages.NodeUnprepareResourcesResponse()
        for claim in request.claims:
            self._called("unprepare", claim.uid)
            answer.claims[claim.uid].error = self.refuse_unprepare
        return answer

    def _called(self, verb: str, uid: str) -> None:
        self.calls.append((verb, uid))
        while self.blocked.is_set() and not self._ended.wait(BLOCKED_POLL_SECONDS):
            pass

    def _watch(self, _request: Any, _context: Any) -> Iterator[Any]:
        device = health_v1_pb2.DeviceIdentifier(pool_name="n1", device_name="gpu-0")
        report = health_v1_pb2.DeviceHealth(device=device, health=self.health, message="fine")
        yield health_v1_pb2.NodeWatchResourcesResponse(devices=[report])
        self._ended.wait(20)


def _serialize(message: Any) -> bytes:
    written: bytes = message.SerializeToString()
    return written


def _unary(serve: Any, request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(serve, request.FromString, _serialize)
