"""Two driver processes on one node, as in a rolling update, between a real kubelet's calls: who serves when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from partita_driver.cdi.files import CdiFolder
from partita_plugins.backends.simulated import HungCall, open_existing
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.kubelet import Kubelet, KubeletSettings
from partita_plugins.testing.scheduling import bind_pod, reserve_claim
from partita_plugins.wire import DRIVER_NAME, pool_name
from tests.driver.edge.worlds import NODE
from tests.testing import objects
from tests.waiting import eventually

OLD, NEW = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
WAIT_SECONDS = 40.0
GRACE_SECONDS = 60.0
"""What the manifest gives a driver that is told to stop; the longest stop, added up in test_app.py, is 54 s."""


class Update:
    """A node with its kubelet, and the instances of the driver that a test starts."""

    def __init__(self, root: Path, server: ApiServer) -> None:
        self.root, self.server = root, server
        self.kubeconfig = server.write_kubeconfig(root / "kubeconfig")
        self.settings = KubeletSettings(node_name=NODE, root=root, retry_seconds=0.2, retry_seconds_max=0.5)
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, pod_uid: str) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "partita_driver", "run", f"--node-name={NODE}", f"--pod-uid={pod_uid}"),
            *("--backend=simulated", "--machine=a30-x4", f"--kubeconfig={self.kubeconfig}", "--http-address="),
            *(f"--state-dir={self.root / 'state'}", f"--cdi-dir={self.settings.cdi}"),
            *(f"--plugin-dir={self.plugins}", f"--registry-dir={self.settings.registry}"),
        ]
        with (self.root / f"log-{pod_uid[0]}").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ))
        self.running.append(process)
        return process

    @property
    def plugins(self) -> Path:
        return self.root / "plugins" / DRIVER_NAME

    def sockets(self) -> set[str]:
        """The pods whose sockets are there, by the first digit of their UIDs."""
        found = [*self.settings.registry.glob("*.sock"), *self.plugins.glob("*.sock")]
        return {uid[0] for uid in (OLD, NEW) for path in found if uid in path.name}

    def place(self, name: str, device: str) -> None:
        self.server.create(objects.claim(name))
        pod = self.server.create(objects.pod(name, claims={"gpu": name}))
        allocation = objects.allocation(device, pool=pool_name(NODE))
        reserve_claim(self.server, self.server.get("ResourceClaim", name), pod, allocation)
        bind_pod(self.server, pod, NODE)

    def runs(self, name: str) -> bool:
        return bool(self.server.get("Pod", name)["status"].get("phase") == "Running")

    def devices(self) -> list[str]:
        slices = self.server.list("ResourceSlice").items
        return sorted(device["name"] for entry in slices for device in entry["spec"].get("devices", []))

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.root.glob("log-*")))


@pytest.fixture
def update(short_path: Path) -> Iterator[Update]:
    with ApiServer() as server:
        made = Update(short_path, server)
        with Kubelet(server, made.settings):
            try:
                made.start(OLD)
                assert eventually(lambda: len(made.devices()) == 4, WAIT_SECONDS), made.log()
                yield made
            finally:
                for process in made.running:
                    process.kill()
                    process.wait()


def test_a_successor_stands_by_silently_and_takes_over_when_the_old_one_hangs_and_is_killed(update: Update) -> None:
    first, second, *_ = update.devices()
    update.place("before", first)
    assert eventually(lambda: update.runs("before"), WAIT_SECONDS), update.log()
    update.start(NEW)
    old = update.running[0]
    old.send_signal(signal.SIGSTOP)
    assert not eventually(lambda: "2" in update.sockets(), 3.0), "the kubelet would send it claims"
    update.place("during", second)
    old.kill()
    assert eventually(lambda: update.runs("during"), WAIT_SECONDS), update.log()
    assert update.sockets() == {"2"}, "what the old one left is gone"
    assert len(CdiFolder(update.settings.cdi).claims()) == 2, "and the pod that ran before has its devices"
    update.server.delete("Pod", "before")
    assert eventually(lambda: len(CdiFolder(update.settings.cdi).claims()) == 1, WAIT_SECONDS), update.log()


def test_an_old_instance_with_a_call_that_never_returns_still_ends_when_asked(update: Update) -> None:
    first, second, *_ = update.devices()
    hardware = open_existing(update.root / "state" / "simulated")
    stuck = next(gpu.uuid for gpu in hardware.discover().gpus if gpu.pci_label in first)
    hardware.faults.plant(HungCall(gpu_uuid=stuck, call="open_memory"))
    update.place("stuck", first)
    journal = update.root / "state" / "journal" / "journal.a"
    assert eventually(lambda: b'"intended"' in journal.read_bytes(), WAIT_SECONDS), update.log()
    update.start(NEW)
    update.running[0].send_signal(signal.SIGTERM)
    update.place("during", second)
    assert eventually(lambda: update.runs("during"), WAIT_SECONDS), update.log()
    assert update.running[0].wait(GRACE_SECONDS) == 0
    assert update.sockets() == {"2"}
    assert not update.runs("stuck")
