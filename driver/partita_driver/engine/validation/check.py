"""A claim's devices are looked at, all side by side; what fails is quarantined before anything else happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from partita_driver.engine.grants import offered_device
from partita_driver.engine.instances import answering_gpu, find_instance
from partita_driver.engine.rules import shared_with_others, with_clean
from partita_driver.engine.tools import Tools
from partita_driver.engine.validation.verdict import Looked, is_proof, reject, summary
from partita_driver.fault_points import reached
from partita_driver.journal.records import SWITCHED_OFF, ClaimRecord, DeviceRecord, JournalState
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent
from partita_driver.moments import Moment
from partita_plugins.contracts import Depth, Look, ValidationResult, ValidationTarget, Validator

WHOLE = frozenset({Moment.IDLE, Moment.AGAIN})
"""Moments at which no claim waits: what is known of a device spares nothing."""


SHARED = "shared"
OFF = "the node's settings"
"""Reasons why nothing was looked at."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A validation of a claim's devices, as its caller wants it."""

    moment: Moment
    begin: float = 0.0
    """Where in the memory to begin, as a share of it."""

    given_up: Callable[[], bool] = _never
    """Whether the caller no longer wants it."""


def check(tools: Tools, claim: ClaimRecord, wanted: Check) -> ClaimRecord:
    """The claim, journalled as checked, with what was found of each device. Raises ValidationFailed."""
    reached("made")
    if tools.validator is not None:
        with tools.timed("validate"):
            claim = _validated(tools, tools.validator, claim, wanted)
    proven = [uuid for device in claim.devices if is_proof(device) for uuid in device.gpu_uuids]
    return tools.put(claim, ClaimEvent.CHECK, Durability.LATER, lambda state: with_clean(state, add=proven))


def _validated(tools: Tools, validator: Validator, claim: ClaimRecord, wanted: Check) -> ClaimRecord:
    """The claim with its devices' validations: the kubelet's patience is for all of them together."""
    skipped = (validator.name, SHARED)
    places = _to_look_at(tools.journal.state, claim)
    if not tools.validates(wanted.moment):
        places, skipped = [], (SWITCHED_OFF, OFF)
    ended = tools.runtime.side_by_side(
        [partial(_look, tools, validator, claim.devices[index], gpu_uuid, wanted) for index, gpu_uuid in places]
    )
    failed = [
        Looked(claim.devices[index], gpu_uuid, future.result())
        for (index, gpu_uuid), future in zip(places, ended, strict=True)
        if future.exception() is None and not future.result().passed
    ]
    if failed:
        reject(tools, claim, failed)
    results: dict[int, list[ValidationResult]] = {}
    for (index, _), future in zip(places, ended, strict=True):
        results.setdefault(index, []).append(future.result())
    devices = tuple(
        msgspec.structs.replace(device, validation=summary(device, wanted.moment, results.get(index, ()), skipped))
        for index, device in enumerate(claim.devices)
    )
    return msgspec.structs.replace(claim, devices=devices)


def _to_look_at(state: JournalState, claim: ClaimRecord) -> list[tuple[int, str]]:
    """Number of the device and UUID of the GPU, for each look."""
    return [
        (index, gpu_uuid)
        for index, device in enumerate(claim.devices)
        if not device.admin and not shared_with_others(state, claim.uid, device)
        for gpu_uuid in device.gpu_uuids
    ]


def _look(tools: Tools, validator: Validator, device: DeviceRecord, gpu_uuid: str, wanted: Check) -> ValidationResult:
    again = wanted.moment is Moment.AGAIN
    look = Look(
        depth=Depth.FULL if wanted.moment in WHOLE else _depth(tools.journal.state, device),
        deadline_seconds=tools.deadlines.revalidate_seconds if again else tools.deadlines.validate_seconds,
        begin=wanted.begin,
        given_up=wanted.given_up,
    )
    return tools.hardware.validate(validator, _target(tools, device, gpu_uuid), look)


def _depth(state: JournalState, device: DeviceRecord) -> Depth:
    unused = device.placement is None and set(device.gpu_uuids) <= set(state.clean)
    return Depth.QUICK if unused else Depth.FULL


def _target(tools: Tools, device: DeviceRecord, gpu_uuid: str) -> ValidationTarget:
    gpu = answering_gpu(tools, gpu_uuid)
    profile = offered_device(device, tools.node.gpus).profile
    return ValidationTarget(
        gpu=gpu,
        instance=find_instance(tools, device),
        memory_mib=profile.memory_mib if profile else gpu.memory_mib,
        multiprocessors=profile.multiprocessors if profile else gpu.multiprocessors,
    )
