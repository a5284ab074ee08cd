"""One machine twice: for the simulated backend, and for pynvml over the C library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pynvml
import pytest

from partita_plugins.backends.simulated import SimulatedBackend, open_existing
from partita_plugins.backends.simulated.machine import build_machine
from partita_plugins.backends.simulated.records import GpuRecord, MachineRecord
from partita_plugins.errors import BackendError
from partita_plugins.model.instances import ComputeMode
from partita_plugins.model.mig import Placement
from partita_plugins.testing.nvml import build_library
from partita_plugins.testing.nvml.layout import write_inventory

COMPUTE_MODES = {0: ComputeMode.DEFAULT, 2: ComputeMode.PROHIBITED, 3: ComputeMode.EXCLUSIVE_PROCESS}
INTERVALS = ("Default", "Short", "Medium", "Long")


class Side(Protocol):
    """One way to do things to the first GPU of a machine; raises with NVML's code."""

    def set_mig_mode(self, wanted: int) -> None: ...
    def create(self, profile_id: int, placement: Placement) -> None: ...
    def destroy(self, gpu_instance_id: int) -> None: ...
    def create_compute(self, gpu_instance_id: int) -> None: ...
    def destroy_compute(self, gpu_instance_id: int, compute_instance_id: int) -> None: ...
    def set_time_slice(self, number: int) -> None: ...
    def set_compute_mode(self, number: int) -> None: ...


class Simulated:
    def __init__(self, backend: SimulatedBackend, uuid: str) -> None:
        self._backend, self._uuid = backend, uuid

    def set_mig_mode(self, wanted: int) -> None:
        self._backend.set_mig_mode(self._uuid, enabled=bool(wanted))

    def create(self, profile_id: int, placement: Placement) -> None:
        self._backend.create_gpu_instance(self._uuid, profile_id, placement)

    def destroy(self, gpu_instance_id: int) -> None:
        self._backend.destroy_gpu_instance(self._uuid, gpu_instance_id)

    def create_compute(self, gpu_instance_id: int) -> None:
        self._backend.create_compute_instance(self._uuid, gpu_instance_id)

    def destroy_compute(self, gpu_instance_id: int, compute_instance_id: int) -> None:
        self._backend.destroy_compute_instance(self._uuid, gpu_instance_id, compute_instance_id)

    def set_time_slice(self, number: int) -> None:
        self._backend.set_time_slice(self._uuid, INTERVALS[number])

    def set_compute_mode(self, number: int) -> None:
        self._backend.set_compute_mode(self._uuid, COMPUTE_MODES[number])


class Nvml:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._gpu: Any = pynvml.nvmlDeviceGetHandleByIndex(0)

    def set_mig_mode(self, wanted: int) -> None:
        status = pynvml.nvmlDeviceSetMigMode(self._gpu, wanted)
        if status != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(status)

    def create(self, profile_id: int, placement: Placement) -> None:
        where = pynvml.c_nvmlGpuInstancePlacement_t(placement.start, placement.size)
        pynvml.nvmlDeviceCreateGpuInstanceWithPlacement(self._gpu, profile_id, ctypes.byref(where))

    def destroy(self, gpu_instance_id: int) -> None:
        pynvml.nvmlGpuInstanceDestroy(self._instance(gpu_instance_id))

    def create_compute(self, gpu_instance_id: int) -> None:
        instance = self._instance(gpu_instance_id)
        for profile in range(pynvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT):
            try:
                info = pynvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(instance, profile, 0)
            except pynvml.NVMLError_NotSupported:
                continue
            pynvml.nvmlGpuInstanceCreateComputeInstance(instance, info.id)

    def destroy_compute(self, gpu_instance_id: int, compute_instance_id: int) -> None:
        instance = self._instance(gpu_instance_id)
        compute = pynvml.nvmlGpuInstanceGetComputeInstanceById(instance, compute_instance_id)
        pynvml.nvmlComputeInstanceDestroy(compute)

    def set_time_slice(self, number: int) -> None:
        code = self._library.partitaDeviceSetTimeSlice(self._gpu, number)
        if code != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(code)

    def set_compute_mode(self, number: int) -> None:
        pynvml.nvmlDeviceSetComputeMode(self._gpu, number)

    def _instance(self, gpu_instance_id: int) -> Any:
        return pynvml.nvmlDeviceGetGpuInstanceById(self._gpu, gpu_instance_id)


@dataclass(frozen=True)
class Twin:
    """One of two copies of a machine, and how calls reach it."""

    backend: SimulatedBackend
    side: Side

    @property
    def uuid(self) -> str:
        return self.backend.gpu_uuids()[0]

    @property
    def record(self) -> GpuRecord:
        return self.backend.machine.files.load(self.uuid)

    def start_client(self, name: str, number: int) -> None:
        """On an instance that is there for most numbers."""
        self.backend.start_client(self.uuid, name, self.gpu_instance_id(number))

    def gpu_instance_id(self, number: int) -> int:
        """Of one that is there for most numbers, of none for 14 and on an empty GPU."""
        ids = [one.gpu_instance_id for one in self.record.instances]
        return ids[number % len(ids)] if ids and number < 14 else number


Act = Callable[[Twin], None]


def code_of(twin: Twin, act: Act) -> int:
    """What the twin answers, in NVML's codes."""
    try:
        act(twin)
    except pynvml.NVMLError as error:
        return int(error.value)
    except BackendError as error:
        return int(error.code)
    return 0


@contextmanager
def twins(machine: str) -> Iterator[tuple[Twin, Twin]]:
    """The same machine twice: for the simulated backend, and for pynvml."""
    library = ctypes.CDLL(str(build_library()))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        states = [Path(folder, name) for name in ("simulated", "nvml")]
        for state in states:
            write_inventory(state, build_machine(state, MachineRecord(machine=machine, seed="twin")))
        patch.setenv("PARTITA_SIMULATED_DIR", str(states[1]))
        pynvml.nvmlInit()
        try:
            ours, theirs = open_existing(states[0]), open_existing(states[1])
            yield Twin(ours, Simulated(ours, ours.gpu_uuids()[0])), Twin(theirs, Nvml(library))
        finally:
            pynvml.nvmlShutdown()
