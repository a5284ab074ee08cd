"""The least time that hardware needs from one state to another: what every driver has to wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partita_plugins.backends.simulated import Delays
from partita_plugins.backends.simulated.machine import SimulatedMachine
from partita_plugins.backends.simulated.records import GpuRecord

State = Mapping[str, GpuRecord]
"""GPUs by UUID."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds below which no driver can stay."""

    parallel_seconds: float
    """All GPUs side by side, the steps of one GPU one after another: the work of the busiest GPU."""

    serial_seconds: float
    """One lock for the node: the work of all GPUs."""


def state_of(machine: SimulatedMachine) -> State:
    """What the hardware holds now."""
    return {gpu.uuid: machine.files.load(gpu.uuid) for gpu in machine.hardware.gpus}


def bounds_between(before: State, after: State, delays: Delays) -> Bounds:
    """The bounds of getting from one state to another."""
    seconds = [gpu_seconds(before[uuid], after[uuid], delays) for uuid in before]
    return Bounds(parallel_seconds=max(seconds, default=0.0), serial_seconds=sum(seconds))


def gpu_seconds(before: GpuRecord, after: GpuRecord, delays: Delays) -> float:
    """The work on one GPU: a switch of MIG mode either way, every instance made, every instance destroyed."""
    switched = before.mig_enabled != after.mig_enabled
    had, has = _instances(before), _instances(after)
    return delays.create_seconds * (switched + len(has - had)) + delays.destroy_seconds * len(had - has)


def _instances(record: GpuRecord) -> set[tuple[int, int, str]]:
    """GPU instances by profile and place, and in each of them its compute instances by UUID."""
    made = {(one.profile_id, one.start, "") for one in record.instances}
    return made | {(one.profile_id, one.start, ci.mig_uuid) for one in record.instances for ci in one.compute}
