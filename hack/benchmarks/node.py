"""A node to measure on: embedded API server, simulated GPUs, the real driver process, and a kubelet's calls to it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hack.demo.endpoints import http_port, ready
from hack.demo.processes import Process
from hack.demo.waiting import until

from partita_plugins.backends.simulated import Delays
from partita_plugins.backends.simulated.machine import SimulatedMachine, build_machine
from partita_plugins.backends.simulated.records import MachineRecord
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.kubelet.drivers import ClaimRef, Driver, connect, get_info, notify
from partita_plugins.wire import DRIVER_NAME, pool_name

NODE_NAME = "node-a"
NAMESPACE = "default"
DRIVER = "partita-driver"
CALL_SECONDS = 45.0
"""The kubelet gives up a call after this."""

START_SECONDS = 120.0
"""For the driver's start on a machine that is busy with other things."""

OFFER = {"whole": True, "mig": "all", "shared": True}
SHORT_FOLDER = "/tmp"  # noqa: S108 - the paths of unix sockets have 107 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node with its driver ready: registered, slices published."""

    server: ApiServer
    machine: SimulatedMachine
    process: Process
    folder: Path
    driver: Driver

    def devices(self) -> list[str]:
        """Names of all published devices, in the order in which kube-scheduler tries them."""
        slices = sorted(self.server.peek("ResourceSlice"), key=lambda found: str(found["metadata"]["name"]))
        return [device["name"] for found in slices for device in found["spec"].get("devices") or []]

    def allocate(self, name: str, device: str, **result: Any) -> ClaimRef:
        """A claim as kube-scheduler leaves it: allocated a device of this node, and reserved for a pod."""
        made = self.server.create(_claim(name))
        found = {"request": "gpu", "driver": DRIVER_NAME, "pool": pool_name(NODE_NAME), "device": device, **result}
        status = {
            "allocation": {"devices": {"results": [found]}},
            "reservedFor": [{"resource": "pods", "name": name, "uid": f"pod-of-{made['metadata']['uid']}"}],
        }
        self.server.update({**made, "status": status}, subresource="status")
        return ClaimRef(namespace=NAMESPACE, name=name, uid=made["metadata"]["uid"])

    def prepare(self, claim: ClaimRef) -> str:
        """NodePrepareResources for one claim, as for a pod with just this one. The driver's error; empty: done."""
        answer = self.driver.prepare([claim])[claim.uid]
        return str(answer) if isinstance(answer, Exception) else ""

    def unprepare(self, claim: ClaimRef) -> str:
        """NodeUnprepareResources for one claim. The driver's error; empty: done."""
        return str(self.driver.unprepare([claim])[claim.uid] or "")

    def forget(self, claim: ClaimRef) -> None:
        """Delete a claim."""
        self.server.delete("ResourceClaim", claim.name, NAMESPACE)


@contextmanager
def node(machine: str, *options: str, delays: Delays = Delays()) -> Iterator[Node]:  # noqa: B008 - frozen
    """A node that lives for the block, in a folder of its own; `options` are the driver's, beside those it needs."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=SHORT_FOLDER))
    process = Process(DRIVER, [*_command(folder, machine), *options], folder / "log")
    try:
        simulated = build_machine(folder / "hardware", MachineRecord(machine=machine, seed=NODE_NAME))
        simulated.set_delays(delays)
        with ApiServer() as server:
            _prepare_cluster(server, folder)
            process.start()
            driver = _register(folder, process)
            until(
                "the driver is ready",
                lambda: (port := http_port(process)) and ready(port),
                seconds=START_SECONDS,
                process=process.name,
            )
            yield Node(server=server, machine=simulated, process=process, folder=folder, driver=driver)
            driver.close()
    finally:
        process.ask_to_stop()
        process.wait_stopped()
        shutil.rmtree(folder, ignore_errors=True)


def _prepare_cluster(server: ApiServer, folder: Path) -> None:
    server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE_NAME}})
    settings = yaml.safe_dump({"nodes": [{"offer": OFFER}]})
    metadata = {"name": "partita-nodes", "namespace": "partita-system"}
    server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"nodes.yaml": settings}})
    server.write_kubeconfig(folder / "kubeconfig")
    (folder / "registry").mkdir()


def _register(folder: Path, process: Process) -> Driver:
    """What the kubelet's plugin watcher does with the socket that the driver puts into its folder."""
    socket = folder / "registry" / f"{DRIVER_NAME}-reg.sock"
    until("the driver serves", lambda: _there(socket, process), seconds=START_SECONDS, process=process.name)
    with connect(str(socket)) as channel:
        info = get_info(channel, 10.0)
        notify(channel, "", 5.0)
    return Driver(info, CALL_SECONDS)


def _there(socket: Path, process: Process) -> bool:
    process.check()
    return socket.exists()


def _command(folder: Path, machine: str) -> list[str]:
    return [
        *("partita_driver", "run", "--backend=simulated", f"--machine={machine}", f"--node-name={NODE_NAME}"),
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--state-dir={folder / 'state'}",
        f"--simulated-dir={folder / 'hardware'}",
        f"--cdi-dir={folder / 'cdi'}",
        f"--plugin-dir={folder / 'plugin'}",
        f"--registry-dir={folder / 'registry'}",
        "--http-address=127.0.0.1:0",
    ]


def _claim(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": DRIVER_NAME}}]}},
    }
