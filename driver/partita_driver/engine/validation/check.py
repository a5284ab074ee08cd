"""A claim's devices are looked at, all side by side; what fails is quarantined before anything else happens."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from partita_driver.engine.rules import shared_with_others, with_clean
from partita_driver.engine.tools import Tools
from partita_driver.engine.validation.look import Check, Looked, look_at
from partita_driver.engine.validation.peers import copied, linked_sets
from partita_driver.engine.validation.verdict import is_proof, reject, summary, with_looks
from partita_driver.fault_points import reached
from partita_driver.journal.records import SWITCHED_OFF, ClaimRecord, DeviceRecord, JournalState, ValidationSummary
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent
from partita_plugins.contracts import Depth, Validator


def check(tools: Tools, claim: ClaimRecord, wanted: Check) -> ClaimRecord:
    """The claim, journalled as checked, with what was found of each device. Raises ValidationFailed."""
    reached("made")
    looked: tuple[Looked, ...] = ()
    if tools.validator is not None:
        with tools.timed("validate"):
            claim, looked = _validated(tools, tools.validator, claim, wanted)

    def proven(state: JournalState) -> JournalState:
        alone = [one for one in claim.devices if is_proof(one) and not shared_with_others(state, claim.uid, one)]
        # A look that was given up has shown little, but the part that it came to is done.
        clean = [] if wanted.given_up() else [gpu_uuid for one in alone for gpu_uuid in one.gpu_uuids]
        return with_looks(tools, with_clean(state, add=clean), looked, wanted)

    return tools.put(claim, ClaimEvent.CHECK, Durability.LATER, proven)


def _validated(
    tools: Tools, validator: Validator, claim: ClaimRecord, wanted: Check
) -> tuple[ClaimRecord, tuple[Looked, ...]]:
    """The claim with its devices' validations: the kubelet's patience is for all of them together."""
    if not tools.validates(wanted.moment):
        unseen = ValidationSummary(method=SWITCHED_OFF, depth="skipped", moment=wanted.moment, reason="off")
        return _with_summaries(claim, {index: unseen for index, one in enumerate(claim.devices) if not one.admin}), ()
    places = [
        (index, device, gpu_uuid)
        for index, device in enumerate(claim.devices)
        if not device.admin
        for gpu_uuid in device.gpu_uuids
    ]
    # Shares of one GPU are the same memory: two looks at once would each find what the other wrote.
    looks = {
        (gpu_uuid, device.placement): partial(
            look_at, tools, validator, claim, device, gpu_uuid=gpu_uuid, wanted=wanted
        )
        for _, device, gpu_uuid in places
    }
    ended = dict(zip(looks, tools.runtime.side_by_side(list(looks.values())), strict=True))
    found = [future.result() for future in ended.values() if future.exception() is None]
    _tell(tools, found, wanted)
    if any(not one.passed for one in found):
        reject(tools, claim, [one for one in found if not one.passed], wanted)
    looked: dict[int, list[Looked]] = {}
    for index, device, gpu_uuid in places:
        looked.setdefault(index, []).append(ended[gpu_uuid, device.placement].result())
    _copy(tools, validator, claim, wanted, found)
    summaries = {index: summary(results, wanted.moment) for index, results in looked.items()}
    return _with_summaries(claim, summaries), tuple(found)


def _copy(tools: Tools, validator: Validator, claim: ClaimRecord, wanted: Check, found: list[Looked]) -> None:
    """Copy among GPUs that were promised NVLink: as thoroughly as each of them was looked at."""
    full = {one.gpu_uuid for one in found if one.result.depth is Depth.FULL}
    for linked in linked_sets(claim, tools.node):
        depth = Depth.FULL if any(gpu_uuid in full for _, gpu_uuid in linked) else Depth.QUICK
        pairs = copied(tools, validator, linked, wanted, depth)
        _tell(tools, pairs[:1], wanted)
        if failed := [one for one in pairs if not one.passed]:
            reject(tools, claim, failed, wanted)


def _with_summaries(claim: ClaimRecord, summaries: dict[int, ValidationSummary]) -> ClaimRecord:
    def told(index: int, device: DeviceRecord) -> DeviceRecord:
        return msgspec.structs.replace(device, validation=summaries.get(index))

    return msgspec.structs.replace(claim, devices=tuple(told(*one) for one in enumerate(claim.devices)))


def _tell(tools: Tools, found: Iterable[Looked], wanted: Check) -> None:
    for one in found:
        result = "skipped" if one.result.skipped else "passed"
        if not one.passed:
            result = "failed"
        elif wanted.given_up():
            result = "given-up"
        tools.validated(wanted.moment, one.result.depth, result, one.result.seconds)
