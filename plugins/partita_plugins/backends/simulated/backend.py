"""A device backend over simulated hardware, with NVML's answers, delays and the faults that were planted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from functools import partial

import numpy as np
from numpy.typing import NDArray

from partita_plugins.backends.simulated import clients, rules
from partita_plugins.backends.simulated.events import EventFeed
from partita_plugins.backends.simulated.faults import Fault, GpuLost, HungCall, event_of, link_is_sound
from partita_plugins.backends.simulated.machine import SimulatedMachine
from partita_plugins.backends.simulated.memory import SimulatedMemory
from partita_plugins.backends.simulated.options import Delays
from partita_plugins.backends.simulated.records import GpuRecord
from partita_plugins.backends.simulated.rules import refuse
from partita_plugins.errors import NvmlCode
from partita_plugins.model.gpu import Gpu, NodeHardware
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.instances import ComputeInstance, ComputeMode, DeviceNode, GpuInstance, GpuProcess
from partita_plugins.model.mig import Placement

HANG_SECONDS_MAX = 3600.0
"""A hung call that nobody lifts ends with TIMEOUT after this."""

_HANG_POLL_SECONDS = 0.02


class SimulatedBackend:
    """DeviceBackend and MemoryBackend over one machine. Thread-safe; any number of processes may open one machine."""

    def __init__(
        self,
        machine: SimulatedMachine,
        *,
        delays: Delays,
        words: int,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.machine = machine
        self.faults = machine.faults
        self._delays = delays
        self._words = words
        self._sleep, self._clock = sleep, clock
        self._memory: dict[str, NDArray[np.uint32]] = {}
        self._memory_lock = threading.Lock()
        self._events = EventFeed(machine.faults, sleep=sleep, clock=clock)

    @property
    def words(self) -> int:
        """32-bit words of each GPU's memory that are real."""
        return self._words

    def gpu_uuids(self) -> tuple[str, ...]:
        return tuple(gpu.uuid for gpu in self.machine.hardware.gpus)

    def discover(self, *, without: Collection[str] = ()) -> NodeHardware:
        for gpu_uuid in self.gpu_uuids():
            if gpu_uuid not in without:
                self.hang("discover", gpu_uuid)
        self._sleep(self._delays.query_seconds)
        return self.machine.discover(without)

    def set_mig_mode(self, gpu_uuid: str, *, enabled: bool) -> None:
        mig = self._enter("set_mig_mode", gpu_uuid, self._delays.create_seconds).mig
        record = self.machine.files.update(gpu_uuid, partial(rules.switch_mode, mig=mig, enabled=enabled))
        if record.mig_enabled == record.mig_pending:
            return
        if record.clients:
            refuse(NvmlCode.IN_USE, f"MIG mode is pending: in use by {record.clients[0]}", "stop it, reset the GPU")
        refuse(NvmlCode.RESET_REQUIRED, "MIG mode is pending", "reset the GPU, or reboot the node")

    def gpu_instances(self, gpu_uuid: str) -> tuple[GpuInstance, ...]:
        self._enter("gpu_instances", gpu_uuid, self._delays.query_seconds)
        record = self.machine.files.load(gpu_uuid)
        return tuple(one.value(gpu_uuid) for one in record.instances)

    def create_gpu_instance(self, gpu_uuid: str, profile_id: int, placement: Placement) -> GpuInstance:
        mig = self._enter("create_gpu_instance", gpu_uuid, self._delays.create_seconds).mig
        make = partial(rules.add_gpu_instance, mig=mig, profile_id=profile_id, placement=placement)
        return self.machine.files.update(gpu_uuid, make).instances[-1].value(gpu_uuid)

    def destroy_gpu_instance(self, gpu_uuid: str, gpu_instance_id: int) -> None:
        mig = self._enter("destroy_gpu_instance", gpu_uuid, self._delays.destroy_seconds).mig
        self.machine.files.update(
            gpu_uuid, partial(rules.remove_gpu_instance, mig=mig, gpu_instance_id=gpu_instance_id)
        )

    def create_compute_instance(self, gpu_uuid: str, gpu_instance_id: int) -> ComputeInstance:
        mig = self._enter("create_compute_instance", gpu_uuid, self._delays.create_seconds).mig
        make = partial(rules.add_compute_instance, mig=mig, gpu_uuid=gpu_uuid, gpu_instance_id=gpu_instance_id)
        record = self.machine.files.update(gpu_uuid, make)
        return rules.find(record, gpu_instance_id).value(gpu_uuid).compute_instances[0]

    def destroy_compute_instance(self, gpu_uuid: str, gpu_instance_id: int, compute_instance_id: int) -> None:
        mig = self._enter("destroy_compute_instance", gpu_uuid, self._delays.destroy_seconds).mig
        remove = partial(
            rules.remove_compute_instance,
            mig=mig,
            gpu_instance_id=gpu_instance_id,
            compute_instance_id=compute_instance_id,
        )
        self.machine.files.update(gpu_uuid, remove)

    def set_time_slice(self, gpu_uuid: str, interval: str) -> None:
        self._enter("set_time_slice", gpu_uuid, self._delays.query_seconds)
        self.machine.files.update(gpu_uuid, partial(rules.set_time_slice, interval=interval))

    def compute_mode(self, gpu_uuid: str) -> ComputeMode:
        self._enter("compute_mode", gpu_uuid, self._delays.query_seconds)
        return self.machine.files.load(gpu_uuid).compute_mode

    def set_compute_mode(self, gpu_uuid: str, mode: ComputeMode) -> None:
        self._enter("set_compute_mode", gpu_uuid, self._delays.query_seconds)
        self.machine.files.update(gpu_uuid, partial(rules.set_compute_mode, mode=mode))

    def processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        self._enter("processes", gpu_uuid, self._delays.query_seconds)
        return clients.processes(self.machine.files.load(gpu_uuid))

    def device_nodes(self, gpu_uuid: str, instance: GpuInstance | None) -> tuple[DeviceNode, ...]:
        self._enter("device_nodes", gpu_uuid, self._delays.query_seconds)
        if instance is not None:
            rules.same(self.machine.files.load(gpu_uuid), instance)
        return self.machine.devices.of(self.machine.gpu(gpu_uuid).minor, instance)

    def monitor_nodes(self) -> tuple[DeviceNode, ...]:
        machine = self.machine
        minors = [machine.gpu(gpu_uuid).minor for gpu_uuid in self.gpu_uuids()]
        return machine.devices.monitor(minors, mig=any(gpu.mig for gpu in machine.hardware.gpus))

    def health(self, gpu_uuid: str) -> tuple[HealthEvent, ...]:
        self.machine.known(gpu_uuid)
        self.hang("health", gpu_uuid)
        return tuple(event for fault in self.faults.on(gpu_uuid) if (event := event_of(fault)))

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        for gpu in self.machine.hardware.gpus:
            self.hang("wait_events", gpu.uuid)
        return self._events.wait(timeout_seconds)

    def open_memory(self, gpu_uuid: str, instance: GpuInstance | None) -> SimulatedMemory:
        """NOT_FOUND for an instance that is not there or has no compute instance; INVALID_STATE where MIG is on
        and the whole GPU is asked for: CUDA cannot open it then."""
        gpu = self._enter("open_memory", gpu_uuid, 0.0)
        record = self.machine.files.load(gpu_uuid)
        axis = max((p.end for profile in gpu.mig.profiles for p in profile.placements), default=1) if gpu.mig else 1
        placement, memory_mib, multiprocessors = self._promised(gpu, record, instance)
        first, last = (placement.start, placement.end) if placement else (0, axis)
        per_slice = self._words // axis
        return SimulatedMemory(
            window=self._storage(gpu_uuid)[first * per_slice : last * per_slice],
            first=first * per_slice,
            placement=placement,
            promised_memory_mib=memory_mib,
            promised_multiprocessors=multiprocessors,
            faults=partial(self._faults_of_living, gpu_uuid),
        )

    def across(self, source_uuid: str, destination_uuid: str, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        if link_is_sound(self.faults.all().values(), source_uuid, destination_uuid):
            return values
        arrived = values.copy()
        arrived[len(arrived) // 2] ^= 1
        return arrived

    def start_client(self, gpu_uuid: str, client: str, gpu_instance_id: int | None = None) -> None:
        """A process opens the GPU or one of its instances: what it holds is IN_USE until it stops."""
        self.machine.known(gpu_uuid)
        start = partial(clients.start, client=client, gpu_instance_id=gpu_instance_id)
        self.machine.files.update(gpu_uuid, start)

    def stop_client(self, gpu_uuid: str, client: str) -> None:
        """The process ends; nothing happens if there is none."""
        self.machine.known(gpu_uuid)
        self.machine.files.update(gpu_uuid, partial(clients.stop, client=client))

    def reset(self, gpu_uuid: str) -> None:
        """Reset one GPU: a pending MIG mode becomes current, its instances are lost. IN_USE with clients."""
        self._enter("reset", gpu_uuid, self._delays.create_seconds)
        self.machine.reset(gpu_uuid)

    def reboot(self) -> None:
        """Reboot the machine; this backend goes on as a driver started afterwards would."""
        self.machine.reboot()

    def _enter(self, call: str, gpu_uuid: str, seconds: float) -> Gpu:
        """What every call on a GPU meets first: an unknown UUID, a hang, a lost GPU, the delay."""
        gpu = self.machine.known(gpu_uuid)
        self.hang(call, gpu_uuid)
        self._sleep(seconds)
        self._faults_of_living(gpu_uuid)
        return gpu

    def hang(self, call: str, gpu_uuid: str) -> None:
        """Wait while a hung call of that name is planted on a GPU."""
        deadline = self._clock() + HANG_SECONDS_MAX
        while any(isinstance(fault, HungCall) and fault.call in (call, "*") for fault in self.faults.on(gpu_uuid)):
            if self._clock() > deadline:
                refuse(NvmlCode.TIMEOUT, f"{call} hangs")
            self._sleep(_HANG_POLL_SECONDS)

    def _faults_of_living(self, gpu_uuid: str) -> tuple[Fault, ...]:
        faults = self.faults.on(gpu_uuid)
        if any(isinstance(fault, GpuLost) for fault in faults):
            refuse(NvmlCode.GPU_IS_LOST, f"{gpu_uuid} has fallen off the bus", "reset it or take it out of service")
        return faults

    def _promised(self, gpu: Gpu, record: GpuRecord, instance: GpuInstance | None) -> tuple[Placement | None, int, int]:
        if instance is None:
            if record.mig_enabled:
                refuse(NvmlCode.INVALID_STATE, "MIG is on: CUDA opens instances only", "switch MIG mode off")
            return None, gpu.memory_mib, gpu.multiprocessors
        found = rules.same(record, instance)
        if not found.compute:
            refuse(NvmlCode.NOT_FOUND, f"GPU instance {found.gpu_instance_id} has no compute instance")
        profiles = {profile.profile_id: profile for profile in gpu.mig.profiles} if gpu.mig else {}
        profile = profiles[found.profile_id]
        return found.placement, profile.memory_mib, profile.multiprocessors

    def _storage(self, gpu_uuid: str) -> NDArray[np.uint32]:
        with self._memory_lock:
            return self._memory.setdefault(gpu_uuid, np.zeros(self._words, dtype=np.uint32))
