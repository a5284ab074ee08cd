"""One look at one GPU of a device: what the GPU says of itself before and after, and what a validator finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from partita_driver.engine.device_records import offered_device
from partita_driver.engine.health import reported_faults
from partita_driver.engine.instances import answering_gpu, find_instance
from partita_driver.engine.rules import shared_with_others, touches
from partita_driver.engine.tools import Tools
from partita_driver.health.faults import Fault
from partita_driver.journal.records import ClaimRecord, DeviceRecord, JournalState
from partita_driver.moments import Moment
from partita_plugins.contracts import Depth, Look, ValidationResult, ValidationTarget, Validator, never
from partita_plugins.model.gpu import Gpu

WHOLE = frozenset({Moment.IDLE, Moment.BIND, Moment.AGAIN})
"""Moments at which what is known of a device spares nothing: no claim waits, or one waits for kube-scheduler anyway,
which looks every five seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A validation of a claim's devices, as its caller wants it."""

    moment: Moment
    begin: float = 0.0
    """Where in the memory to begin, as a share of it."""

    given_up: Callable[[], bool] = never
    """Whether the caller no longer wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found of one GPU of a device."""

    device: DeviceRecord
    gpu_uuid: str
    result: ValidationResult
    reported: tuple[Fault, ...] = ()
    """What the GPU says is wrong with the device's part of it."""

    linked: tuple[str, ...] = ()
    """The other GPUs that it was to be copied to; empty: it was looked at alone."""

    @property
    def passed(self) -> bool:
        return self.result.passed and not self.reported

    @property
    def found(self) -> tuple[str, ...]:
        """One plain sentence each."""
        return (*(fault.message for fault in self.reported), *self.result.findings)


def look_at(
    tools: Tools, validator: Validator, claim: ClaimRecord, device: DeviceRecord, *, gpu_uuid: str, wanted: Check
) -> Looked:
    """Look at one GPU. Raises HardwareError or PartitaError where that cannot be done.

    On a GPU that others compute on it is a quick look beside them, never one through an MPS daemon: a program that
    fails there takes the others with it.
    """
    state = tools.journal.state
    shared = shared_with_others(state, claim.uid, device)
    look = Look(
        depth=Depth.QUICK if shared else _depth(state, device, wanted.moment),
        deadline_seconds=deadline_seconds(tools, wanted.moment),
        begin=wanted.begin,
        shared=shared,
        given_up=wanted.given_up,
    )
    if reported := _reported(tools, device, gpu_uuid, wanted.moment):
        nothing = ValidationResult(method=validator.name, depth=look.depth, seconds=0.0)
        return Looked(device=device, gpu_uuid=gpu_uuid, result=nothing, reported=reported)
    result = tools.hardware.validate(validator, target_of(tools, device, gpu_uuid), look)
    reported = _reported(tools, device, gpu_uuid, wanted.moment)
    return Looked(device=device, gpu_uuid=gpu_uuid, result=result, reported=reported)


def deadline_seconds(tools: Tools, moment: Moment) -> float:
    """Of one look at a moment."""
    deadlines = tools.deadlines
    return deadlines.revalidate_seconds if moment is Moment.AGAIN else deadlines.validate_seconds


def target_of(tools: Tools, device: DeviceRecord, gpu_uuid: str) -> ValidationTarget:
    """One CUDA device of a granted device."""
    gpu = answering_gpu(tools, gpu_uuid)
    profile = offered_device(device, tools.node.gpus).profile
    return ValidationTarget(
        gpu=gpu,
        instance=find_instance(tools, device),
        memory_mib=memory_mib(tools, device, gpu),
        multiprocessors=profile.multiprocessors if profile else gpu.multiprocessors,
    )


def memory_mib(tools: Tools, device: DeviceRecord, gpu: Gpu) -> int:
    """What a device was promised to have of one GPU."""
    profile = offered_device(device, tools.node.gpus).profile
    return profile.memory_mib if profile else gpu.memory_mib


def _depth(state: JournalState, device: DeviceRecord, moment: Moment) -> Depth:
    unused = device.placement is None and set(device.gpu_uuids) <= set(state.clean)
    return Depth.QUICK if unused and moment not in WHOLE else Depth.FULL


def _reported(tools: Tools, device: DeviceRecord, gpu_uuid: str, moment: Moment) -> tuple[Fault, ...]:
    """What the GPU itself says, and what has been heard of it: of an XID there is an event and nothing more.

    Of quarantined hardware that is for who validates it again, and knows which fault it is about.
    """
    if moment is Moment.AGAIN:
        return ()
    known = {fault.key: fault for fault in (*reported_faults(tools, gpu_uuid), *tools.journal.state.faults)}
    return tuple(fault for fault in known.values() if fault.gpu_uuid == gpu_uuid and touches(fault, device))
