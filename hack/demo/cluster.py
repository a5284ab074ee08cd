"""Everything that runs: API server, controllers, kubelets, the real processes, the scheduler's loop. One folder."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hack.demo.endpoints import SCHEDULER, ExtenderEndpoint, http_port, ready
from hack.demo.machines import FLEET, MachineNode
from hack.demo.processes import Process
from hack.demo.waiting import until

from partita_plugins.backends.simulated.machine import SimulatedMachine, existing_machine
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.controllers import Controllers
from partita_plugins.testing.extender_client import ExtenderClient, ExtenderConfig
from partita_plugins.testing.kubelet import Kubelet, KubeletSettings
from partita_scheduler.install.certificates import write_certificates
from partita_scheduler.simulator import EmbeddedScheduler

REVALIDATE_SECONDS = "1.5"
SHORT_FOLDER = "/tmp"  # noqa: S108 - where the usual folder is too long for a socket below it
FOLDER_LENGTH_MAX = 32


class Cluster:
    """The demo's cluster. start() and its successors start a part each; close() ends all of them, also half-started."""

    def __init__(self) -> None:
        usual = tempfile.gettempdir()
        self.folder = Path(
            tempfile.mkdtemp(prefix="partita-", dir=None if len(usual) < FOLDER_LENGTH_MAX else SHORT_FOLDER)
        )
        self.server = ApiServer()
        self.kubelets: dict[str, Kubelet] = {}
        self.processes: dict[str, Process] = {}
        self.extender: ExtenderEndpoint
        self._stack = ExitStack()
        self._scheduler: EmbeddedScheduler
        self._stop_scheduling = threading.Event()
        self._scheduling: threading.Thread | None = None

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def start(self) -> None:
        """The control plane and the kubelets."""
        self._stack.enter_context(self.server)
        self.server.write_kubeconfig(self.kubeconfig)
        self._stack.enter_context(Controllers(self.server))
        for node in FLEET:
            settings = KubeletSettings(
                node_name=node.name, root=self.root(node.name), labels=node.labels, retry_seconds=0.3, wipe_seconds=30.0
            )
            self.kubelets[node.name] = self._stack.enter_context(Kubelet(self.server, settings))

    def start_processes(self) -> None:
        """The drivers and the extender, as on a real cluster. They are ready when this returns."""
        pki = self.folder / "pki"
        write_certificates(pki, ("127.0.0.1",))
        self._start(SCHEDULER, self._extender_command(pki))
        for node in FLEET:
            self._start(driver_of(node.name), self._driver_command(node))
        for node in FLEET:
            self.wait_driver(node.name)
        scheduler = self.processes[SCHEDULER]
        port = until("the extender listens", lambda: http_port(scheduler), process=SCHEDULER)
        self.extender = ExtenderEndpoint(port, pki)
        until("the extender is ready", self.extender.ready, process=SCHEDULER)

    def wait_driver(self, node: str) -> None:
        """Until its readiness endpoint says so: registered with the kubelet, slices published."""
        process = self.processes[driver_of(node)]
        until(f"{process.name} is ready", lambda: (port := http_port(process)) and ready(port), process=process.name)

    def start_scheduler(self) -> None:
        """The embedded scheduler, calling the extender as kube-scheduler does: HTTPS, with its client certificate."""
        config = ExtenderConfig(
            url_prefix=self.extender.url,
            filter_verb="choose",  # as the stanza's default preset has it
            prioritize_verb="",
            http_timeout_seconds=5.0,
            ignorable=True,
            tls=self.extender.tls,
        )
        self._scheduler = EmbeddedScheduler(self.server, [ExtenderClient(config)])
        self.resume_scheduler()

    def resume_scheduler(self) -> None:
        self._stop_scheduling = threading.Event()
        self._scheduling = threading.Thread(
            target=self._scheduler.run, args=(self._stop_scheduling,), name="scheduler", daemon=True
        )
        self._scheduling.start()

    def pause_scheduler(self) -> None:
        self._stop_scheduling.set()
        if self._scheduling is not None:
            self._scheduling.join()
            self._scheduling = None

    @contextmanager
    def scheduler_paused(self) -> Iterator[None]:
        """Nothing is placed meanwhile."""
        self.pause_scheduler()
        try:
            yield
        finally:
            self.resume_scheduler()

    def restart_driver(self, node: str) -> tuple[int, int]:
        """Kill a driver as a crash would, start it again; both process ids. It is ready when this returns."""
        process = self.processes[driver_of(node)]
        before = process.pid
        process.kill()
        process.log.rename(process.log.with_suffix(".killed"))  # its address is in the fresh log
        process.start()
        self.wait_driver(node)
        return before, process.pid

    def root(self, node: str) -> Path:
        """Stands for the file system of a node: kubelet, CDI, state of the driver, hardware."""
        return self.folder / node

    def hardware_folder(self, node: str) -> Path:
        return self.root(node) / "hardware"

    def hardware(self, node: str) -> SimulatedMachine:
        """The simulated hardware itself, which no process owns."""
        return existing_machine(self.hardware_folder(node))

    def close(self) -> list[str]:
        """End everything and remove the folder. What was not as it should be, in words."""
        self.pause_scheduler()
        for process in self.processes.values():
            process.ask_to_stop()
        left = [problem for process in self.processes.values() if (problem := process.wait_stopped())]
        self._stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return left + ([f"{self.folder} cannot be removed"] if self.folder.exists() else [])

    def _start(self, name: str, command: list[str]) -> None:
        process = self.processes[name] = Process(name, command, self.folder / f"{name}.log")
        process.start()

    def _driver_command(self, node: MachineNode) -> list[str]:
        root = self.root(node.name)
        settings = self.kubelets[node.name].settings
        return [
            *("partita_driver", "run", "--backend=simulated", f"--node-name={node.name}"),
            f"--kubeconfig={self.kubeconfig}",
            f"--state-dir={root / 'state'}",
            f"--simulated-dir={self.hardware_folder(node.name)}",
            f"--cdi-dir={settings.cdi}",
            f"--plugin-dir={root / 'plugins' / 'gpu.partita.dev'}",
            f"--registry-dir={settings.registry}",
            f"--revalidate-seconds={REVALIDATE_SECONDS}",
            "--http-address=127.0.0.1:0",
        ]

    def _extender_command(self, pki: Path) -> list[str]:
        return [
            *("partita_scheduler", "run", f"--kubeconfig={self.kubeconfig}", "--listen=127.0.0.1:0"),
            "--no-leader-election",
            *(f"--tls-cert={pki / 'server.crt'}", f"--tls-key={pki / 'server.key'}", f"--client-ca={pki / 'ca.crt'}"),
        ]


def driver_of(node: str) -> str:
    """Name of a node's driver process."""
    return f"partita-driver on {node}"
