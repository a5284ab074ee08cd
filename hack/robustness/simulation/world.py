"""One node and what is around it: hardware, disk, driver, kubelet, API server, and who uses them."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from hack.robustness.observation import Partition, held_by_name
from hack.robustness.power_loss import Recorder, lose_power
from hack.robustness.simulation.allocator import Scheduler
from hack.robustness.simulation.api import Server
from hack.robustness.simulation.hardware import Backend, Devices, Machine
from hack.robustness.simulation.kubelet import Disk, Kubelet, Pod
from hack.robustness.simulation.node import DELAYS, Driver
from hack.robustness.simulation.tasks import Process, Task, Tasks

from partita_driver.kubelet.claims import Prepared
from partita_driver.kubelet.dra_service import ClaimRef
from partita_driver.lifecycle import ClaimState
from partita_plugins.model.offer import Offer
from partita_plugins.wire import VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION
from partita_plugins.wire.resource_claim import ResourceClaim

MACHINE, GPUS = "hgx-h100", 2
EVERYTHING = Offer(
    whole=True, mig_shapes=frozenset({"1g", "3g"}), shared=True, group_sizes=frozenset({2}), monitor=True
)
RESTART_SECONDS = 1.0
BINDING_LOOK_SECONDS = 5.0
NAMESPACE = "default"


class SimulatedWorld:
    """Everything of one run. Its methods that take time are called by tasks."""

    def __init__(
        self, seed: int, folder: Path, devices: Devices, say: Callable[[str], None], *, gpus: int = GPUS
    ) -> None:
        self.random = random.Random(seed)
        self.say = say
        self.tasks = Tasks(self.random, on_step=self._on_step, switch_chance=self.random.choice((0.02, 0.1, 0.3, 0.7)))
        self.folder = folder
        self.machine = Machine(self.tasks, MACHINE, gpus, devices)
        self.server = Server(self.tasks)
        self.scheduler = Scheduler(self.server)
        self.hands = Backend(self.tasks, self.machine, DELAYS)
        self.foreign: set[Partition] = set()
        self.offer = EVERYTHING
        self.outside = Process("outside")
        self.disk, self.kubelet = Disk(), None  # type: Disk, Kubelet | None
        self.unbound: dict[str, Pod] = {}
        """Pods that kube-scheduler has not bound yet, by claim UID: no kubelet knows of them."""

        self.driver: Driver | None = None
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

    # --- processes -------------------------------------------------------------------------------------------------

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

    # --- pods ------------------------------------------------------------------------------------------------------

    def create_pod(self, wish: str, name: str, *, waits: bool = False) -> bool:
        """Let kube-scheduler allocate a claim, and the kubelet see its pod. False where nothing fits.

        With `waits` the kubelet sees it only once the driver has said that the device is validated.
        """
        if (NAMESPACE, name) in self.server.claims:
            return False
        claim = self.scheduler.claim(wish, NAMESPACE, name, waits=waits)
        if claim is None or claim.status.allocation is None:
            return False
        self.server.put_claim(claim)
        gpus, uid = dict(enumerate(self.machine.hardware.gpus)), claim.metadata.uid
        names = [one.device for one in claim.status.allocation.devices.results]
        held = tuple(held_by_name(device, gpus) for device in names)
        pod = Pod(name, ClaimRef(namespace=NAMESPACE, name=name, uid=uid), held)
        self.say(f"pod {name} with claim {uid} gets {', '.join(names)}")
        if waits:
            self.unbound[uid] = pod
            self.tasks.start(self.outside, f"prebind-{name}", lambda: self._wait_to_bind(pod))
        else:
            self._bind(pod)
        return True

    def _bind(self, pod: Pod) -> None:
        self.disk.pods[pod.ref.uid] = pod
        if self.kubelet and self.kubelet.process.alive:
            self.kubelet.sync(pod)

    def _wait_to_bind(self, pod: Pod) -> None:
        """kube-scheduler's PreBind: it looks every five seconds, and takes the devices back when one has failed."""
        while pod.ref.uid in self.unbound:
            told = word_on(self.server.claims[NAMESPACE, pod.name])
            if told == VALIDATED_CONDITION:
                self.say(f"pod {pod.name} is bound")
                self._bind(self.unbound.pop(pod.ref.uid))
            elif told == VALIDATION_FAILED_CONDITION:
                self.say(f"pod {pod.name} goes elsewhere")
                self.abandon(pod)
            else:
                self.tasks.sleep(BINDING_LOOK_SECONDS)

    def abandon(self, pod: Pod) -> None:
        """A pod that was never bound is gone, and its claim with it."""
        self.say(f"pod {pod.name} is gone before it was bound")
        del self.unbound[pod.ref.uid]
        self._forget(pod)

    def delete_pod(self, pod: Pod, *, force: bool = False) -> None:
        """The kubelet is to end it. With force pod and claim are gone from the API at once."""
        self.say(f"pod {pod.name} is deleted{' by force' if force else ''}")
        pod.deleted = True
        if force:
            self._forget(pod)
        if self.kubelet:
            self.kubelet.sync(pod)

    def handed_out(self, pod: Pod) -> bool:
        """Does the driver know the pod's claim as prepared?"""
        record = self.driver.journal.state.claims.get(pod.ref.uid) if self.driver else None
        return record is not None and record.state is ClaimState.PREPARED

    def start_container(self, pod: Pod, devices: Sequence[Prepared]) -> None:
        self.say(f"pod {pod.name} runs on {', '.join(device.uuid for device in devices)}")
        pod.running = True

    def stop_container(self, pod: Pod) -> None:
        if pod.running:
            self.say(f"the container of pod {pod.name} ends")
        pod.running = False

    def pod_ended(self, pod: Pod) -> None:
        self.say(f"pod {pod.name} has ended")
        self._forget(pod)

    def _forget(self, pod: Pod) -> None:
        pod.gone = True
        known = self.server.claims.get((NAMESPACE, pod.name))
        if known and known.metadata.uid == pod.ref.uid:
            self.server.drop_claim(known)


def word_on(claim: ResourceClaim) -> str:
    """The condition of a claim's one device that is true; empty: none yet."""
    conditions = [one for entry in claim.status.devices for one in entry.conditions or ()]
    said = {one.type for one in conditions if one.status == "True"}
    return next((kind for kind in (VALIDATION_FAILED_CONDITION, VALIDATED_CONDITION) if kind in said), "")
