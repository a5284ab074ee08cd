"""The C library and the simulated backend answer alike: same codes, same records, whatever is done to a GPU."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_plugins.backends.simulated import SimulatedBackend, open_existing
from partita_plugins.backends.simulated.machine import build_machine
from partita_plugins.backends.simulated.records import GpuRecord, MachineRecord
from partita_plugins.errors import BackendError
from partita_plugins.model.gpu import ComputeMode
from partita_plugins.model.mig import Placement
from partita_plugins.testing.nvml import build_library
from partita_plugins.testing.nvml.layout import write_inventory

MACHINES = ("hgx-h100", "dgx-a100-40", "a30-x4", "rtx-pro-6000-x8", "l40s-x8")
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

# Names of processes: anything that JSON can hold and a C string too.
CLIENTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)

BY_HAND: tuple[Act, ...] = (
    lambda twin: twin.backend.reset(twin.uuid),
    lambda twin: twin.backend.reboot(),
    lambda twin: twin.backend.start_client(twin.uuid, "trainer"),
    lambda twin: twin.backend.stop_client(twin.uuid, "trainer"),
)
"""What a person or a process does to the machine, on both copies through the simulated backend."""


def _acts(backend: SimulatedBackend) -> st.SearchStrategy[Act]:
    """Things to do to the first GPU, legal ones more often than not."""
    mig = backend.machine.hardware.gpus[0].mig
    legal = [(one.profile_id, place) for one in (mig.profiles if mig else ()) for place in one.placements]
    illegal = [(999, Placement(0, 1)), *((profile_id, Placement(13, place.size)) for profile_id, place in legal)]
    places, ids = st.sampled_from(legal or illegal), st.integers(0, 14)
    return st.one_of(
        st.sampled_from([1, 1, 1, 0]).map(lambda wanted: lambda twin: twin.side.set_mig_mode(wanted)),
        places.map(lambda one: lambda twin: twin.side.create(*one)),
        places.map(lambda one: lambda twin: twin.side.create(*one)),
        st.sampled_from(illegal).map(lambda one: lambda twin: twin.side.create(*one)),
        ids.map(lambda one: lambda twin: twin.side.create_compute(twin.gpu_instance_id(one))),
        ids.map(lambda one: lambda twin: twin.side.create_compute(twin.gpu_instance_id(one))),
        ids.map(lambda one: lambda twin: twin.side.destroy(twin.gpu_instance_id(one))),
        ids.map(lambda one: lambda twin: twin.side.destroy_compute(twin.gpu_instance_id(one), 0)),
        st.integers(0, 3).map(lambda one: lambda twin: twin.side.set_time_slice(one)),
        st.sampled_from(sorted(COMPUTE_MODES)).map(lambda one: lambda twin: twin.side.set_compute_mode(one)),
        st.sampled_from(BY_HAND),
        st.tuples(CLIENTS, ids).map(lambda one: lambda twin: twin.start_client(*one)),
    )


def _mig_on(twin: Twin) -> None:
    """As an administrator does it, with a reset where it takes one."""
    twin.backend.machine.switch_mig(twin.uuid, enabled=True)


def _code(twin: Twin, act: Act) -> int:
    try:
        act(twin)
    except pynvml.NVMLError as error:
        return int(error.value)
    except BackendError as error:
        return int(error.code)
    return 0


@contextmanager
def _twins(machine: str) -> Iterator[tuple[Twin, Twin]]:
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


@pytest.mark.parametrize("machine", MACHINES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_codes_and_records_are_the_same_after_every_step(machine: str, data: st.DataObject) -> None:
    with _twins(machine) as (ours, theirs):
        first = data.draw(st.sampled_from([_mig_on, _mig_on, BY_HAND[0]]))
        for act in (first, *data.draw(st.lists(_acts(ours.backend), min_size=1, max_size=30))):
            assert _code(ours, act) == _code(theirs, act)
            assert ours.record == theirs.record


SCRIPTS: dict[str, tuple[str, tuple[Act, ...]]] = {
    "a mode switch puts the compute mode back": (
        "hgx-h100",
        (lambda twin: twin.side.set_compute_mode(3), lambda twin: twin.side.set_mig_mode(1)),
    ),
    "a client keeps the mode from being switched": (
        "hgx-h100",
        (BY_HAND[2], lambda twin: twin.side.set_mig_mode(1), BY_HAND[3], lambda twin: twin.side.set_mig_mode(1)),
    ),
    "a pending mode with a client": ("dgx-a100-40", (BY_HAND[2], lambda twin: twin.side.set_mig_mode(1), BY_HAND[0])),
    "all media engines and then one": (
        "rtx-pro-6000-x8",
        (
            _mig_on,
            lambda twin: twin.side.create(65, Placement(0, 3)),
            lambda twin: twin.side.create(14, Placement(3, 3)),
        ),
    ),
    "one media engine and then all": (
        "rtx-pro-6000-x8",
        (
            _mig_on,
            lambda twin: twin.side.create(14, Placement(0, 3)),
            lambda twin: twin.side.create(65, Placement(3, 3)),
        ),
    ),
    "all media engines and then none": (
        "rtx-pro-6000-x8",
        (
            _mig_on,
            lambda twin: twin.side.create(65, Placement(0, 3)),
            lambda twin: twin.side.create(67, Placement(3, 3)),
        ),
    ),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_chance_seldom_finds_is_the_same_too(script: str) -> None:
    machine, acts = SCRIPTS[script]
    with _twins(machine) as (ours, theirs):
        for act in acts:
            assert _code(ours, act) == _code(theirs, act)
            assert ours.record == theirs.record
