"""One simulated machine in its state folder: the hardware itself, which no process owns.

<state_dir>/machine.json       which machine, and the seed of its UUIDs
<state_dir>/delays.json        how long its calls take; without it none takes any time
<state_dir>/gpus/<uuid>.json   modes, instances and clients of one GPU
<state_dir>/faults/<id>.json   what is broken now
<state_dir>/dev/               device nodes
<state_dir>/boot_id            another one after every reboot
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from partita_plugins.backends import catalog
from partita_plugins.backends.files import write_atomically
from partita_plugins.backends.simulated import power, rules
from partita_plugins.backends.simulated.faults import HEALED_BY_REBOOT, HEALED_BY_RESET, FaultFolder, GpuLost
from partita_plugins.backends.simulated.files import GpuFiles, locked
from partita_plugins.backends.simulated.nodes import DeviceFolder
from partita_plugins.backends.simulated.options import Delays
from partita_plugins.backends.simulated.records import GpuRecord, MachineRecord
from partita_plugins.backends.simulated.rules import refuse
from partita_plugins.errors import InvalidInput, NvmlCode
from partita_plugins.model.gpu import Gpu, NodeHardware

MINOR_SETS = 4
"""With shuffled minors, every mode switch, reset or reboot moves a GPU on to the next of so many sets of minors."""


class SimulatedMachine:
    """Hardware that outlives processes. Holds no state of its own beside the catalog's data."""

    def __init__(self, state_dir: Path, record: MachineRecord) -> None:
        self.folder = state_dir
        self.record = record
        self.hardware = catalog.machine(record.machine, record.seed)
        self.files = GpuFiles(state_dir / "gpus")
        self.faults = FaultFolder(state_dir / "faults")
        self.devices = DeviceFolder(state_dir / "dev")
        self._delays = state_dir / "delays.json"
        self.boot_id = state_dir / "boot_id"
        self._index = {gpu.uuid: index for index, gpu in enumerate(self.hardware.gpus)}
        minors = list(range(len(self._index)))
        if record.shuffle_minors:
            random.Random(record.seed).shuffle(minors)  # noqa: S311 - a permutation that tests can repeat
        self._minors = minors

    @property
    def delays(self) -> Delays:
        """How long calls take on this machine. InvalidInput where the file is damaged."""
        try:
            return msgspec.json.decode(self._delays.read_bytes(), type=Delays)
        except FileNotFoundError:
            return Delays()
        except msgspec.DecodeError as error:
            raise InvalidInput(f"{self._delays.name} is damaged: {error}", advice="remove the file") from error

    def set_delays(self, delays: Delays) -> None:
        """Make the machine so slow for every process that opens it from now on."""
        write_atomically(self._delays, msgspec.json.encode(delays))

    def known(self, gpu_uuid: str) -> Gpu:
        """A GPU as it left the factory. NOT_FOUND for a UUID that is not of this machine."""
        if gpu_uuid not in self._index:
            refuse(NvmlCode.NOT_FOUND, f"there is no GPU {gpu_uuid}")
        return self.hardware.gpus[self._index[gpu_uuid]]

    def first_minor(self, index: int) -> int:
        """N of /dev/nvidiaN of a GPU in NVML's order before anything has moved it."""
        return self._minors[index]

    def gpu(self, gpu_uuid: str) -> Gpu:
        """A GPU as it is now."""
        return self._current(self.known(gpu_uuid), self.files.load(gpu_uuid))

    def discover(self, without: Collection[str] = ()) -> NodeHardware:
        """All GPUs that are not lost and not in `without`, with the links among them."""
        lost = {fault.gpu_uuid for fault in self.faults.all().values() if isinstance(fault, GpuLost)}
        kept = self.hardware.without(lost | set(without))
        return replace(kept, gpus=tuple(self.gpu(gpu.uuid) for gpu in kept.gpus))

    def reset(self, gpu_uuid: str) -> None:
        """Reset one GPU: a pending MIG mode becomes current, its instances are lost. IN_USE with clients."""
        self.known(gpu_uuid)
        self.files.update(gpu_uuid, power.reset)
        self.faults.heal({gpu_uuid: HEALED_BY_RESET})

    def switch_mig(self, gpu_uuid: str, *, enabled: bool) -> None:
        """Switch MIG mode and, where the mode is only pending then, reset the GPU."""
        mig = self.known(gpu_uuid).mig
        after = self.files.update(gpu_uuid, partial(rules.switch_mode, mig=mig, enabled=enabled))
        if after.mig_enabled != after.mig_pending:
            self.reset(gpu_uuid)

    def reboot(self) -> None:
        """Reboot the machine: processes, instances and device nodes are lost, MIG mode too except on Ampere."""
        for gpu in self.hardware.gpus:
            self.files.update(gpu.uuid, partial(power.reboot, mig=gpu.mig))
        self.devices.clear()
        self.change_boot_id()
        self.faults.heal(dict.fromkeys(self._index, HEALED_BY_REBOOT))

    def change_boot_id(self) -> None:
        """Let whoever reads the machine's boot id know of another boot."""
        write_atomically(self.boot_id, f"{uuid.uuid4()}\n".encode())

    def _current(self, gpu: Gpu, record: GpuRecord) -> Gpu:
        mig = gpu.mig and replace(gpu.mig, enabled=record.mig_enabled, pending=record.mig_pending)
        minor = self.first_minor(self._index[gpu.uuid])
        if self.record.shuffle_minors:
            minor += len(self._minors) * (record.moves % MINOR_SETS)
        return replace(gpu, mig=mig, minor=minor)


def build_machine(state_dir: Path, record: MachineRecord) -> SimulatedMachine:
    """The machine of a folder, made if the folder is new. InvalidInput if it holds another one."""
    catalog.machine(record.machine)
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "machine.json"
    with locked(state_dir / "machine.lock"):
        if not path.exists():
            write_atomically(path, msgspec.json.encode(record))
    found = _read(path)
    if found != record:
        raise InvalidInput(
            f"the state folder holds {found.machine!r} with seed {found.seed!r} and shuffle_minors="
            f"{found.shuffle_minors}, not {record.machine!r} with {record.seed!r} and {record.shuffle_minors}",
            advice="open it as what it is, or choose an empty folder",
        )
    return SimulatedMachine(state_dir, found)


def existing_machine(state_dir: Path) -> SimulatedMachine:
    """The machine that a folder holds. InvalidInput if it holds none."""
    path = state_dir / "machine.json"
    if not path.exists():
        raise InvalidInput(f"{state_dir} holds no simulated machine", advice="start a driver or open a backend on it")
    return SimulatedMachine(state_dir, _read(path))


def _read(path: Path) -> MachineRecord:
    try:
        return msgspec.json.decode(path.read_bytes(), type=MachineRecord)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path.name} is damaged: {error}", advice="empty the state folder") from error
