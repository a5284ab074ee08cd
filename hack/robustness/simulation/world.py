"""One node and what is around it: hardware, disk, driver, kubelet, API server, and who uses them."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hack.robustness.observation import Partition
from hack.robustness.power_loss import Recorder, lose_power
from hack.robustness.simulation.hardware import Backend, Devices, Machine
from hack.robustness.simulation.kubelet import Kubelet
from hack.robustness.simulation.node import DELAYS, Driver
from hack.robustness.simulation.pods import Pods
from hack.robustness.simulation.tasks import Process, Task, Tasks

from partita_plugins.model.offer import Offer

MACHINE, GPUS = "hgx-h100", 2
EVERYTHING = Offer(
    whole=True, mig_shapes=frozenset({"1g", "3g"}), shared=True, group_sizes=frozenset({2}), monitor=True
)
RESTART_SECONDS = 1.0


class SimulatedWorld(Pods):
    """Everything of one run. Its methods that take time are called by tasks."""

    def __init__(
        self, seed: int, folder: Path, devices: Devices, say: Callable[[str], None], *, gpus: int = GPUS
    ) -> None:
        self.random = random.Random(seed)
        tasks = Tasks(self.random, on_step=self._on_step, switch_chance=self.random.choice((0.02, 0.1, 0.3, 0.7)))
        super().__init__(tasks, Machine(tasks, MACHINE, gpus, devices), say)
        self.folder = folder
        self.hands = Backend(self.tasks, self.machine, DELAYS)
        self.foreign: set[Partition] = set()
        self.offer = EVERYTHING
        self.boots = 1
        self.full_disk = self.cdi_lost = self.was_full = False
        self.kill_countdown = 0
        self.kill_point = ""
        self.killed_at: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        self.checks = 0
        self._recorder: Recorder | None = None
        self._supervisor: Task | None = None
        self._generation = 0

    def begin(self, *, recording: bool) -> None:
        """Kubelet, driver and scheduler start. `recording`: the power may be lost, which costs time to be ready for."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("cdi", "journal"):
            (self.folder / name).mkdir(parents=True)
        if recording:
            self._recorder = Recorder(self.folder / "journal", self.folder / "durable")
        self.server.watch(self.outside, self.scheduler.see).start()
        self._supervisor = self.tasks.start(self.outside, "supervisor", self._supervise)
        self.start_kubelet()

    def start_kubelet(self) -> None:
        self._generation += 1
        if self.kubelet:
            self.tasks.kill(self.kubelet.process)
        self.kubelet = Kubelet(self.tasks, Process(f"kubelet-{self._generation}"), self.disk, self)
        self.kubelet.start()

    def kill_driver(self, why: str) -> None:
        """SIGKILL: memory is gone, disk and hardware stay."""
        self.kill_countdown, self.kill_point = 0, ""
        driver = self.driver
        if driver is None or not driver.process.alive:
            return
        self.say(f"the driver is killed: {why}")
        self.killed_at[why] += 1
        self.tasks.kill(driver.process)
        if self.kubelet:
            self.kubelet.lost(driver.process)
        if self._supervisor:
            self.tasks.wake(self._supervisor)

    @property
    def outage(self) -> bool:
        """Is the API server or the disk in trouble?"""
        return self.full_disk or self.server.down or self.server.slow_seconds > 0 or self.server.losing_chance > 0

    @property
    def confirmed(self) -> bool:
        """Does a driver serve whose journal knows all that there is to know?"""
        driver = self.driver
        return driver is not None and driver.process.alive and driver.serving and not driver.engine.unconfirmed

    def end_outage(self) -> None:
        """The API server answers, and the disk has room."""
        self.full_disk = self.server.down = False
        self.server.slow_seconds = self.server.losing_chance = 0.0

    def lose_power(self) -> None:
        """A reboot without warning: of the journal what was synced is certain, the rest as chance has it."""
        self.kill_driver("power loss")
        if self._recorder:
            lose_power(self.folder / "journal", self.folder / "durable", self.random)
            self._recorder = Recorder(self.folder / "journal", self.folder / "durable")
        self.reboot()

    def reboot(self) -> None:
        """Processes, containers, partitions and tmpfs are gone."""
        self.kill_driver("reboot")
        if self.kubelet:
            self.tasks.kill(self.kubelet.process)
        self.boots += 1
        for pod in self.disk.pods.values():
            pod.running = False
        for known in self.disk.checkpoint.values():
            known.rebooted = True
        self.machine.reboot()
        for path in sorted((self.folder / "cdi").iterdir()):
            path.unlink()
        self.cdi_lost = True
        self.start_kubelet()

    def _supervise(self) -> None:
        while True:
            process = Process(f"driver-{self.boots}.{self.tasks.steps}")
            self.tasks.start(process, "main", lambda process=process: self._start_driver(process))  # type: ignore[misc]
            while process.alive:
                self.tasks.block("watches the driver", None)
            self.tasks.sleep(RESTART_SECONDS)

    def _start_driver(self, process: Process) -> None:
        self.say("the driver starts")
        self.driver = Driver(
            self.tasks,
            process,
            self.machine,
            self.server,
            self.folder,
            boot_id=f"boot-{self.boots}",
            offer=lambda: self.offer,
        )
        self.driver.start()
        self.say("the driver serves")

    def _on_step(self, task: Task, what: str) -> None:
        driver = self.driver
        if driver is None or task.process is not driver.process or not task.process.alive:
            return
        if self.kill_countdown:
            self.kill_countdown -= 1
            if not self.kill_countdown:
                self.kill_driver(f"when {task.name} {what}")

    def at_point(self, point: str) -> None:
        """The hook of partita_driver.fault_points."""
        self.reached[point] += 1
        task = self.tasks.current
        if task and point == self.kill_point:
            self.kill_driver(f"at {point}")
        self.tasks.pause(f"reached {point}")

    def fsync(self, descriptor: int) -> None:
        """In place of os.fsync: where a full disk shows, and what a power loss leaves is noted."""
        if self.full_disk:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._recorder:
            self._recorder.synced(descriptor)
        self.tasks.pause("syncs")
