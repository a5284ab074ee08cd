"""The real process: command line, real engine, simulated GPUs, kubelet's calls over gRPC, SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from partita_plugins.backends.simulated import StuckBit, open_existing
from partita_plugins.kubelet_api import dra_v1_pb2
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.wire import FAULT_TAINT_KEY, pool_name
from tests.driver.edge.channels import connected
from tests.driver.edge.one_claim import claim_json, result
from tests.driver.edge.worlds import NODE
from tests.testing.signals import send_beside_main
from tests.waiting import WAIT_SECONDS, eventually


class Node:
    """One driver process on one folder."""

    def __init__(self, directory: Path, server: ApiServer) -> None:
        self.directory, self.server = directory, server
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        folders = [f"--{name}={directory / name}" for name in ("state-dir", "cdi-dir", "plugin-dir", "registry-dir")]
        kubeconfig = server.write_kubeconfig(directory / "kubeconfig")
        simulated = ["--backend=simulated", "--machine=a30-x4", f"--node-name={NODE}"]
        command = [sys.executable, "-m", "partita_driver", "run", *folders, *simulated, f"--kubeconfig={kubeconfig}"]
        self.log = (directory / "log").open("wb")
        self.process = subprocess.Popen(
            [*command, "--http-address="], stdout=self.log, stderr=subprocess.STDOUT, env=dict(os.environ)
        )

    def devices(self) -> dict[str, Any]:
        found = [
            device for entry in self.server.list("ResourceSlice").items for device in entry["spec"].get("devices", [])
        ]
        return {device["name"]: device for device in found}

    def call(self, verb: str, uid: str) -> Any:
        request = getattr(dra_v1_pb2, f"{verb}Request")(
            claims=[dra_v1_pb2.Claim(namespace="default", name="train", uid=uid)]
        )
        with connected(self.directory / "plugin-dir" / "dra.sock") as channel:
            answer = channel.unary_unary(
                f"/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/{verb}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=getattr(dra_v1_pb2, f"{verb}Response").FromString,
            )(request, timeout=WAIT_SECONDS)
        return answer.claims[uid]

    def claim(self, device: str) -> str:
        made = self.server.create(claim_json())
        status = claim_json(result(device=device, pool=pool_name(NODE)))["status"]
        self.server.update({**made, "status": status}, subresource="status")
        return str(made["metadata"]["uid"])

    def cdi_files(self) -> list[Path]:
        return sorted((self.directory / "cdi-dir").glob("*.json"))


@contextmanager
def node(directory: Path) -> Iterator[Node]:
    with ApiServer() as server:
        made = Node(directory, server)
        try:
            assert eventually(lambda: len(made.devices()) == 4), (directory / "log").read_text()
            yield made
        finally:
            made.process.kill()
            made.process.wait()
            made.log.close()


def test_a_claim_is_prepared_told_and_taken_back_and_sigterm_ends_it_well(short_path: Path) -> None:
    with node(short_path) as world:
        device = next(iter(world.devices()))
        uid = world.claim(device)
        answer = world.call("NodePrepareResources", uid)
        assert answer.error == ""
        [granted] = answer.devices
        assert (granted.device_name, list(granted.request_names)) == (device, ["gpu"])
        [cdi] = world.cdi_files()
        assert granted.cdi_device_ids[0].endswith(json.loads(cdi.read_text())["devices"][0]["name"])
        assert eventually(lambda: "devices" in world.server.get("ResourceClaim", "train")["status"])
        [told] = world.server.get("ResourceClaim", "train")["status"]["devices"]
        assert told["conditions"][0]["reason"] == "Validated"
        assert world.call("NodeUnprepareResources", uid).error == ""
        assert world.cdi_files() == []
        world.process.send_signal(signal.SIGTERM)
        assert world.process.wait(WAIT_SECONDS) == 0
        assert not list((short_path / "registry-dir").iterdir())


def test_sigterm_ends_it_whichever_thread_the_system_gives_it_to(short_path: Path) -> None:
    with node(short_path) as world:
        send_beside_main(world.process.pid, signal.SIGTERM)
        assert world.process.wait(WAIT_SECONDS) == 0


def test_a_device_that_fails_is_tainted_and_told_before_the_kubelet_hears_of_it(short_path: Path) -> None:
    with node(short_path) as world:
        hardware = open_existing(short_path / "state-dir" / "simulated")
        [gpu, *_] = hardware.discover().gpus
        device = f"gpu-{gpu.pci_label}"
        hardware.faults.plant(StuckBit(gpu_uuid=gpu.uuid, word=5, bit=7, value=1))
        answer = world.call("NodePrepareResources", world.claim(device))
        assert "bit 7" in answer.error
        assert [taint["key"] for taint in world.devices()[device]["taints"]] == [FAULT_TAINT_KEY]
        assert world.devices()[device]["taints"][0]["effect"] == "NoExecute"
        assert world.cdi_files() == []
        assert eventually(lambda: bool(world.server.list("Event").items))
        assert {event["reason"] for event in world.server.list("Event").items} == {"DeviceValidationFailed"}
