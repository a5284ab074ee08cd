"""A model of the kubelet: prepares with retries, remembers what is prepared on disk, runs containers, unprepares.

Containers and the checkpoint outlive it; a reboot ends the containers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hack.robustness.observation import HeldDevice
from hack.robustness.simulation.node import Driver
from hack.robustness.simulation.runtime import SimulatedEvent
from hack.robustness.simulation.tasks import Process, Task, Tasks

from partita_driver.kubelet.claims import Prepared
from partita_driver.kubelet.dra_service import ClaimRef
from partita_plugins.errors import PartitaError

CALL_SECONDS = 45.0
RETRY_SECONDS = (2.0, 30.0)
GRACE_SECONDS = (0.0, 0.0, 1.0, 30.0)
"""How long containers go on after their pod is deleted."""


class CallFailed(Exception):
    """Prepare or Unprepare did not succeed; the kubelet tries again."""


@dataclass(eq=False, slots=True)
class Pod:
    """A pod with one claim."""

    name: str
    ref: ClaimRef
    devices: tuple[HeldDevice, ...]
    """What its claim was allocated."""

    deleted: bool = False
    """The kubelet is to end it."""

    gone: bool = False
    """Not in the API any more."""

    running: bool = False
    """Its container has the devices."""


@dataclass(slots=True)
class Checkpoint:
    """A claim that the kubelet knows to be prepared."""

    devices: Sequence[Prepared]
    asked_at: float
    rebooted: bool = False
    void: bool = False
    """Its Unprepare has begun, or its Prepare after a reboot: what the driver said before holds no more."""


@dataclass(eq=False, slots=True)
class Call:
    """One call in progress."""

    process: Process
    done: SimulatedEvent
    result: Any = None
    error: str = ""


@dataclass(eq=False, slots=True)
class Disk:
    """What of the kubelet outlives its process."""

    pods: dict[str, Pod] = field(default_factory=dict)
    """By claim UID."""

    checkpoint: dict[str, Checkpoint] = field(default_factory=dict)


class World(Protocol):
    """What a kubelet needs of the world around it."""

    @property
    def driver(self) -> Driver | None: ...
    def say(self, words: str, /) -> None: ...
    def handed_out(self, pod: Pod) -> bool: ...
    def start_container(self, pod: Pod, devices: Sequence[Prepared]) -> None: ...
    def stop_container(self, pod: Pod) -> None: ...
    def pod_ended(self, pod: Pod) -> None: ...


class Kubelet:
    """One kubelet process over its disk."""

    def __init__(self, tasks: Tasks, process: Process, disk: Disk, world: World) -> None:
        self.process, self._tasks, self._disk, self._world = process, tasks, disk, world
        self.calls: list[Call] = []
        self.begun = 0
        self._workers: dict[str, Task] = {}

    def start(self) -> None:
        """Go on with every pod that is there, and with every claim that was left prepared."""
        for pod in self._disk.pods.values():
            self.sync(pod)

    def sync(self, pod: Pod) -> None:
        """Begin to look after a pod, or look at it again."""
        worker = self._workers.get(pod.ref.uid)
        if worker is None or worker.done:
            self._workers[pod.ref.uid] = self._tasks.start(self.process, f"pod-{pod.name}", lambda: self._work(pod))
        else:
            self._tasks.wake(worker)

    @property
    def busy(self) -> bool:
        """Is a call in progress?"""
        self.calls = [call for call in self.calls if not call.done.is_set()]
        return bool(self.calls)

    def lost(self, process: Process) -> None:
        """The driver process is gone: its calls have failed."""
        for call in self.calls:
            if call.process is process and not call.done.is_set():
                call.error = "the connection was lost"
                call.done.fire()

    def call(self, verb: str, ref: ClaimRef) -> Any:
        """One call, given up after CALL_SECONDS while it goes on. Raises CallFailed."""
        driver = self._world.driver
        if driver is None or not driver.serving or not driver.process.alive:
            raise CallFailed("nobody listens on the socket")
        call = Call(driver.process, SimulatedEvent(self._tasks))
        self.calls.append(call)
        self.begun += 1

        def serve() -> None:
            try:
                call.result = driver.serve(verb, ref)
            except PartitaError as error:
                call.error = str(error)
            call.done.set()

        self._tasks.start(driver.process, f"{verb}-{ref.name}", serve)
        if not call.done.wait(CALL_SECONDS):
            raise CallFailed(f"{verb} took longer than {CALL_SECONDS:g} s")
        if call.error:
            raise CallFailed(call.error)
        return call.result

    def _work(self, pod: Pod) -> None:
        pause = RETRY_SECONDS[0]
        while not pod.deleted:
            try:
                self._prepare(pod)
            except CallFailed as error:
                self._world.say(f"pod {pod.name} is not prepared: {error}")
                self._tasks.block("waits before it tries again", pause)
                pause = min(pause * 2, RETRY_SECONDS[1])
                continue
            while not pod.deleted:
                self._tasks.block("runs its containers", None)
        self._end(pod)

    def _prepare(self, pod: Pod) -> None:
        known, asked_at = self._disk.checkpoint.get(pod.ref.uid), self._tasks.now
        if self._world.handed_out(pod):  # a replay is answered also on hardware that was quarantined meanwhile
            asked_at = known.asked_at if known else 0.0
        if known and known.rebooted:
            known.void = True
        devices = self.call("prepare", pod.ref)
        self._disk.checkpoint[pod.ref.uid] = Checkpoint(devices, asked_at)
        if not pod.running and not pod.deleted:
            self._world.start_container(pod, devices)

    def _end(self, pod: Pod) -> None:
        if pod.running:
            self._tasks.sleep(self._tasks.random.choice(GRACE_SECONDS))
        self._world.stop_container(pod)
        pause = RETRY_SECONDS[0]
        while True:
            if known := self._disk.checkpoint.get(pod.ref.uid):
                known.void = True
            try:
                self.call("unprepare", pod.ref)
                break
            except CallFailed as error:
                self._world.say(f"pod {pod.name} is not unprepared: {error}")
                self._tasks.block("waits before it tries again", pause)
                pause = min(pause * 2, RETRY_SECONDS[1])
        self._disk.checkpoint.pop(pod.ref.uid, None)
        self._disk.pods.pop(pod.ref.uid, None)
        self._world.pod_ended(pod)
