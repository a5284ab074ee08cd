"""One node of the real cluster from below: its kubelet, its simulated hardware, and the driver's files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from partita_driver.journal.format import decode_journal, encode_journal
from partita_driver.journal.records import JournalState
from partita_plugins.backends.simulated import Fault, SimulatedBackend, open_existing
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.instances import GpuInstance
from partita_plugins.model.mig import Placement
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.device_names import DeviceName, parse_name
from tests.e2e.lab import CLUSTER, run, until

KUBELET = "/var/lib/kubelet"
STATE = "/var/lib/partita"
CDI = "/var/run/cdi"


@dataclass(frozen=True, slots=True)
class Node:
    """A node by name, and where its files lie outside of it."""

    name: str
    paths: dict[str, str]

    def path(self, inside: str, *parts: str) -> Path:
        """Where one of the node's standard folders lies outside of it, and what is in it."""
        return Path(self.paths[inside], *parts)

    @property
    def kubelet(self) -> str:
        return f"kubelet-{self.name}"

    def execute(self, *command: str, check: bool = True) -> str:
        """Standard output of a program of this machine that sees what the node sees."""
        return run(CLUSTER, "node-exec", self.name, "--", *command, check=check)

    @contextlib.contextmanager
    def kubelet_stopped(self) -> Iterator[None]:
        """The kubelet is gone meanwhile; what it started goes on."""
        run(CLUSTER, "stop", self.kubelet)
        try:
            yield
        finally:
            run(CLUSTER, "start", self.kubelet)

    @property
    def hardware(self) -> SimulatedBackend:
        """The node's GPUs, whether a driver runs or not."""
        return open_existing(self.path(STATE, "simulated"))

    @contextlib.contextmanager
    def broken(self, fault: Fault) -> Iterator[None]:
        """Hardware with a fault that is mended at the end."""
        faults = self.hardware.faults
        planted = faults.plant(fault)
        try:
            yield
        finally:
            faults.lift(planted)

    def gpu_of(self, device: str) -> Gpu:
        """The GPU that a published device is on."""
        label = parse_name(device).pci_label
        return next(gpu for gpu in self.hardware.machine.hardware.gpus if gpu.pci_label == label)

    @contextlib.contextmanager
    def taken(self, device: str) -> Iterator[None]:
        """A partition that somebody made by hand where a published device would be."""
        parsed, gpu, hardware = parse_name(device), self.gpu_of(device), self.hardware
        hardware.set_mig_mode(gpu.uuid, enabled=True)
        assert parsed.profile_id is not None
        made = hardware.create_gpu_instance(gpu.uuid, parsed.profile_id, _placement(parsed, gpu))
        try:
            yield
        finally:
            hardware.destroy_gpu_instance(gpu.uuid, made.gpu_instance_id)

    @contextlib.contextmanager
    def in_use(self, device: str) -> Iterator[None]:
        """A program that nobody knows of has the device's partition open, so that it cannot be destroyed."""
        parsed, gpu, hardware = parse_name(device), self.gpu_of(device), self.hardware
        here = (gpu.uuid, parsed.start)
        [instance] = [one for one in self.instances() if (one.gpu_uuid, one.placement.start) == here]
        hardware.start_client(gpu.uuid, "agent", instance.gpu_instance_id)
        try:
            yield
        finally:
            hardware.stop_client(gpu.uuid, "agent")

    def instances(self) -> list[GpuInstance]:
        """Every GPU instance on the node, also those without a compute instance."""
        machine = self.hardware.machine
        return [one.value(gpu.uuid) for gpu in machine.hardware.gpus for one in machine.files.load(gpu.uuid).instances]

    def journal(self) -> JournalState:
        """What the driver remembers; nothing where it has never run."""
        copies = [path.read_bytes() for path in sorted(self.path(STATE, "journal").glob("journal.?"))]
        return max((decode_journal(copy) for copy in copies), key=lambda one: one[0], default=(0, JournalState()))[1]

    def as_if_rebooted(self) -> None:
        """The machine comes up again: no instance, no CDI file (a tmpfs), and a journal of the boot before."""
        self.hardware.reboot()
        for file in self.path(CDI).iterdir():
            file.unlink()
        for copy in self.path(STATE, "journal").glob("journal.?"):
            sequence, state = decode_journal(copy.read_bytes())
            # The boot's id is the machine's, and this machine has not been rebooted.
            copy.write_bytes(encode_journal(sequence, _of_another_boot(state)))

    def cdi_files(self) -> list[str]:
        return [path.name for path in self.path(CDI).glob(f"*{DRIVER_NAME}*")]

    def sockets(self) -> list[str]:
        """The driver's sockets, of every instance that left one."""
        registrars = self.path(KUBELET, "plugins_registry").glob(f"{DRIVER_NAME}-*")
        plugins = self.path(KUBELET, "plugins", DRIVER_NAME).glob("*.sock")
        return sorted(path.name for path in (*registrars, *plugins))

    def left_over(self) -> list[str]:
        """What is on the node of claims: partitions, records, CDI files, MPS, faults; for an idle node nothing."""
        journal = self.journal()
        return [
            *(f"partition {one.gpu_instance_id} of {one.gpu_uuid}" for one in self.instances()),
            *(f"journal record {uid} ({claim.state})" for uid, claim in journal.claims.items()),
            *(f"CDI file {name}" for name in self.cdi_files()),
            *(f"MPS folder {path.name}" for path in self.path(STATE, "mps").glob("*")),
            *(f"fault {fault.reason} of {fault.gpu_uuid}" for fault in journal.faults),
        ]

    def signal_driver(self, pod_uid: str, number: signal.Signals) -> None:
        """Send a signal to the driver process of a pod."""
        wanted = f"POD_UID={pod_uid}".encode()
        pids = [pid for pid in _drivers() if wanted in _read(pid, "environ").split(b"\0")]
        assert pids, f"no process of driver pod {pod_uid}"
        for pid in pids:
            os.kill(pid, number)


def all_nodes() -> dict[str, Node]:
    """The nodes of the cluster that runs, by name."""
    listed: list[dict[str, Any]] = json.loads(run(CLUSTER, "status", "--json"))["nodes"]
    return {node["name"]: Node(node["name"], node["paths"]) for node in listed}


def claim_state(node: Node, uid: str) -> str:
    """How the journal calls a claim; empty where it does not know it."""
    claim = node.journal().claims.get(uid)
    return str(claim.state) if claim else ""


def nothing_left(node: Node, seconds: float = 60) -> None:
    """Wait until a node holds nothing of any claim."""
    found: list[str] = []

    def clean() -> bool:
        found[:] = node.left_over()
        return not found

    try:
        until(f"{node.name} is clean", clean, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: {'; '.join(found)}") from None


def _of_another_boot(state: JournalState) -> JournalState:
    return msgspec.structs.replace(state, boot_id="the-boot-before")


def _placement(parsed: DeviceName, gpu: Gpu) -> Placement:
    profiles = gpu.mig.profiles if gpu.mig else ()
    places = (place for one in profiles if one.profile_id == parsed.profile_id for place in one.placements)
    return next(place for place in places if place.start == parsed.start)


def _drivers() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and b"partita-driver\0run" in _read(int(entry.name), "cmdline"):
            yield int(entry.name)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
