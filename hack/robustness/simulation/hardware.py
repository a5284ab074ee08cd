"""Simulated GPUs in memory: the simulated backend's rules, with the seed between every two touches.

State outlives driver processes, as hardware does. A small machine makes claims meet more often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hack.robustness.simulation.tasks import Task, Tasks

from partita_plugins.backends import catalog
from partita_plugins.backends.simulated import Delays, Fault, HungCall, SimulatedBackend, StuckBit
from partita_plugins.backends.simulated.events import EventFeed
from partita_plugins.backends.simulated.faults import FaultFolder
from partita_plugins.backends.simulated.machine import SimulatedMachine
from partita_plugins.backends.simulated.nodes import DeviceFolder
from partita_plugins.backends.simulated.records import GpuRecord, MachineRecord
from partita_plugins.backends.simulated.rules import refuse
from partita_plugins.contracts import Depth, Look, MemoryBackend, ValidationResult, ValidationTarget
from partita_plugins.errors import NvmlCode
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.instances import DeviceNode, GpuInstance
from partita_plugins.validators.checks import check_figures

WORDS_PER_SLICE = 16
SLICES = 8
HANG_SECONDS_MAX = 3600.0


class Records:
    """GpuFiles in memory: a change is whole at once, and others may go before and after it."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._records: dict[str, GpuRecord] = {}

    def load(self, gpu_uuid: str) -> GpuRecord:
        return self._records.get(gpu_uuid) or GpuRecord()

    def update(self, gpu_uuid: str, change: Callable[[GpuRecord], GpuRecord]) -> GpuRecord:
        after = self._records[gpu_uuid] = change(self.load(gpu_uuid))
        self._tasks.pause("changed a GPU")
        return after


class Faults(FaultFolder):
    """FaultFolder in memory; whoever waits for a change is told."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._planted: dict[str, Fault] = {}
        self._count = 0
        self._waiters: list[Task] = []

    def plant(self, fault: Fault) -> str:
        self._count += 1
        fault_id = f"{fault.__struct_config__.tag}-{self._count}"
        self._planted[fault_id] = fault
        self._tell()
        return fault_id

    def lift(self, fault_id: str) -> None:
        self._planted.pop(fault_id, None)
        self._tell()

    def all(self) -> dict[str, Fault]:
        return dict(self._planted)

    def on(self, gpu_uuid: str) -> tuple[Fault, ...]:
        return tuple(fault for fault in self._planted.values() if fault.gpu_uuid == gpu_uuid)

    def wait(self, seconds: float) -> None:
        """Until any fault is planted or lifted."""
        if self._tasks.current:
            self._waiters.append(self._tasks.current)
        self._tasks.block("waits for the hardware", seconds)

    def _tell(self) -> None:
        waiters, self._waiters = self._waiters, []
        for task in waiters:
            self._tasks.wake(task)


class Devices(DeviceFolder):
    """Device nodes that are looked at once: all runs of a process share the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._made: dict[object, tuple[DeviceNode, ...]] = {}

    def of(self, gpu_minor: int, instance: GpuInstance | None) -> tuple[DeviceNode, ...]:
        ids = tuple(one.compute_instance_id for one in instance.compute_instances) if instance else ()
        key = (gpu_minor, instance and instance.gpu_instance_id, ids)
        if key not in self._made:
            self._made[key] = super().of(gpu_minor, instance)
        return self._made[key]

    def clear(self) -> None:
        """Nodes of before a reboot stay: nobody counts on their absence."""


class Machine(SimulatedMachine):
    """The first GPUs of a machine of the catalog, without files."""

    def __init__(self, tasks: Tasks, name: str, gpus: int, devices: Devices) -> None:
        self.record = MachineRecord(machine=name, seed="simulation")
        whole = catalog.machine(name, "simulation")
        links = tuple(link for link in whole.links if max(link.a, link.b) < gpus)
        self.hardware = replace(whole, gpus=whole.gpus[:gpus], links=links)
        self.files = Records(tasks)  # type: ignore[assignment]
        self.faults: Faults = Faults(tasks)
        self.devices = devices
        self._index = {gpu.uuid: index for index, gpu in enumerate(self.hardware.gpus)}
        self._minors = list(range(gpus))

    def change_boot_id(self) -> None:
        """The world counts boots itself."""


class Backend(SimulatedBackend):
    """One process's view of the machine: hangs end when the fault is lifted, without polling."""

    def __init__(self, tasks: Tasks, machine: Machine, delays: Delays) -> None:
        super().__init__(
            machine,
            delays=delays,
            words=WORDS_PER_SLICE * SLICES,
            sleep=lambda seconds: tasks.sleep(seconds) if seconds else tasks.pause("calls the backend"),
            clock=lambda: tasks.now,
        )
        self._tasks, self._planted = tasks, machine.faults
        self._feed = EventFeed(machine.faults)

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        for gpu in self.machine.hardware.gpus:
            self._hang("wait_events", gpu.uuid)
        end = self._tasks.now + timeout_seconds
        while not (events := self._feed.step()) and self._tasks.now < end:
            self._planted.wait(end - self._tasks.now)
        return events

    def _hang(self, call: str, gpu_uuid: str) -> None:
        end = self._tasks.now + HANG_SECONDS_MAX
        while any(isinstance(fault, HungCall) and fault.call in (call, "*") for fault in self.faults.on(gpu_uuid)):
            if self._tasks.now >= end:
                refuse(NvmlCode.TIMEOUT, f"{call} hangs")
            self._planted.wait(end - self._tasks.now)


PARTS, PART_SECONDS = 4, 0.25
"""Of a full look."""


class FewWords:
    """A validator that reads every word of a tiny memory: finds what the reference validator finds, in microseconds.

    A full look takes virtual time, so that others come in the middle of it, and is given up as the real one is.
    """

    name = "simulation"

    def __init__(self, backend: MemoryBackend, tasks: Tasks) -> None:
        self._backend, self._tasks = backend, tasks

    def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
        memory = self._backend.open_memory(target.gpu.uuid, target.instance)
        stuck = [
            fault
            for fault in self._backend.faults.on(target.gpu.uuid)  # type: ignore[attr-defined]
            if isinstance(fault, StuckBit) and 0 <= fault.word - memory.first < memory.words  # type: ignore[attr-defined]
        ]
        findings = [*check_figures(memory, target), *(f"bit {one.bit} of word {one.word:#x} is stuck" for one in stuck)]
        coverage = self._looked(look) if look.depth is Depth.FULL else 0.1
        return ValidationResult(
            method=self.name,
            depth=look.depth,
            seconds=0.0,
            findings=tuple(findings),
            memory_begin=look.begin,
            memory_coverage=coverage,
        )

    def _looked(self, look: Look) -> float:
        """The share that it came to."""
        for part in range(PARTS):
            if look.given_up():
                return part / PARTS
            self._tasks.sleep(PART_SECONDS)
        return 1.0

    def validate_peers(self, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
        for target in targets:
            self._backend.open_memory(target.gpu.uuid, target.instance)
        return ValidationResult(method=self.name, depth=look.depth, seconds=0.0)
