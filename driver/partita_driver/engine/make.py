"""From intended to made and checked: the hardware steps of a claim, and the proof that its devices compute."""

from __future__ import annotations

from functools import partial

import msgspec

from partita_driver.engine.grants import offered_device
from partita_driver.engine.rules import shared_with_others, time_slice_of, with_clean
from partita_driver.engine.tools import Tools
from partita_driver.fault_points import reached
from partita_driver.hardware import steps
from partita_driver.health.faults import VALIDATION, Fault
from partita_driver.journal.records import SWITCHED_OFF, ClaimRecord, DeviceRecord, JournalState, ValidationSummary
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent
from partita_plugins.contracts import Depth, Look, ValidationResult, ValidationTarget, Validator
from partita_plugins.errors import Permanent, Retryable, ValidationFailed
from partita_plugins.model.gpu import ComputeMode, Gpu, GpuInstance
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.steps import EnableMig, SetTimeSlice, Step


def make_and_check(tools: Tools, claim: ClaimRecord, *, thorough: bool = False) -> ClaimRecord:
    """Carry out a claim's steps and validate its devices. Raises what stopped it; the caller undoes.

    `thorough` gives the validation the time that all of the memory takes, whatever is known of the device.
    """
    gpu_uuids = tuple(uuid for device in claim.devices if not device.admin for uuid in device.gpu_uuids)
    shared = any(device.kind == "shared" for device in claim.devices)
    with tools.lock(gpu_uuids):
        with tools.timed("steps"):
            claim = _make(tools, claim)
        if shared:
            # The next client of this GPU trusts the verdict on the first, so it waits for it.
            return _check(tools, claim, thorough=thorough)
    return _check(tools, claim, thorough=thorough)


class PartitionGone(Retryable):
    """A partition that should be there is not: the GPU was asked, and has answered."""


def find_instance(tools: Tools, device: DeviceRecord) -> GpuInstance | None:
    """The partition of a MIG device, able to compute; None for other kinds. Raises PartitionGone if it is not there."""
    if device.placement is None or device.profile_id is None:
        return None
    instance = tools.hardware.find(device.gpu_uuids[0], device.profile_id, device.placement)
    if instance is None or not instance.compute_instances:
        raise PartitionGone(f"the partition {device.device} is not there", delay_seconds=2.0)
    return instance


def _make(tools: Tools, claim: ClaimRecord) -> ClaimRecord:
    for device in claim.devices:
        if device.admin:
            continue
        if device.placement is None:
            for gpu_uuid in device.gpu_uuids:
                _leave_mig(tools, gpu_uuid)
        if device.mps and device.kind is DeviceKind.SHARED:
            _refuse_one_process(tools, device.gpu_uuids[0])
        for step in device.steps:
            _do(tools, claim, step)
    return tools.put(claim, ClaimEvent.MAKE, Durability.LATER)


def _do(tools: Tools, claim: ClaimRecord, step: Step) -> None:
    if isinstance(step, steps.BESIDE_THE_GPU):
        steps.do_beside(tools.mps, step, claim.uid)
        return
    gpu = _gpu(tools, step.gpu_uuid)
    if isinstance(step, SetTimeSlice):
        others = time_slice_of(tools.journal.state, step.gpu_uuid, without=claim.uid)
        if others is not None and step.interval in ("Default", others):
            return
    steps.do(tools.hardware, step, gpu)
    if isinstance(step, EnableMig) and not (gpu.mig and gpu.mig.enabled):
        # The switch may have given the GPU another minor number.
        tools.refresh()


def _leave_mig(tools: Tools, gpu_uuid: str) -> None:
    """CUDA cannot open a whole GPU in MIG mode: switch it off where that is cheap and nothing is lost by it."""
    gpu = _gpu(tools, gpu_uuid)
    if gpu.mig is None or not gpu.mig.enabled:
        return
    if gpu.mig.mode_needs_reset:
        raise Permanent(
            f"{gpu.pci_bus_id} is in MIG mode and needs a reset to leave it",
            advice="stop offering it whole, or `nvidia-smi -mig 0` and `nvidia-smi --gpu-reset`",
        )
    if tools.hardware.instances(gpu_uuid):
        raise Retryable(f"{gpu.pci_bus_id} has partitions that do not belong to a claim", advice="destroy them")
    tools.hardware.set_mig_mode(gpu_uuid, enabled=False)
    reached("mig-left")
    tools.refresh()


def _refuse_one_process(tools: Tools, gpu_uuid: str) -> None:
    """Several servers and programs compute on a shared GPU, which only compute mode DEFAULT lets them."""
    mode = tools.hardware.compute_mode(gpu_uuid)
    if mode is not ComputeMode.DEFAULT:
        raise Permanent(
            f"GPU {gpu_uuid} is in compute mode {mode.name}, in which it cannot be shared",
            advice=f"`nvidia-smi -i {gpu_uuid} -c DEFAULT` on the node",
        )


def _check(tools: Tools, claim: ClaimRecord, *, thorough: bool) -> ClaimRecord:
    reached("made")
    if tools.validator is not None:
        with tools.timed("validate"):
            claim = _validated(tools, tools.validator, claim, thorough=thorough)
    proven = [uuid for device in claim.devices if _is_proof(device) for uuid in device.gpu_uuids]
    return tools.put(claim, ClaimEvent.CHECK, Durability.LATER, lambda state: with_clean(state, add=proven))


def _is_proof(device: DeviceRecord) -> bool:
    """Whether all of a device's GPUs have just been seen to compute."""
    seen = device.validation
    if seen is None or device.placement is not None:
        return False
    return seen.method != SWITCHED_OFF and seen.depth != "skipped"


def _validated(tools: Tools, validator: Validator, claim: ClaimRecord, *, thorough: bool) -> ClaimRecord:
    """The claim with its devices' validations, all GPUs side by side: the kubelet's patience is for all of them."""
    state = tools.journal.state
    deadline = tools.deadlines.revalidate_seconds if thorough else tools.deadlines.validate_seconds

    def look(device: DeviceRecord, gpu_uuid: str) -> ValidationResult:
        depth = Depth.FULL if thorough else _depth(state, device)
        return tools.hardware.validate(
            validator, _target(tools, device, gpu_uuid), Look(depth=depth, deadline_seconds=deadline)
        )

    looked = [
        (index, gpu_uuid)
        for index, device in enumerate(claim.devices)
        if not device.admin and not shared_with_others(state, claim.uid, device)
        for gpu_uuid in device.gpu_uuids
    ]
    looks = [partial(look, claim.devices[index], gpu_uuid) for index, gpu_uuid in looked]
    ended = list(zip(looked, tools.runtime.side_by_side(looks), strict=True))
    failed = [
        (claim.devices[index], gpu_uuid, future.result())
        for (index, gpu_uuid), future in ended
        if future.exception() is None and not future.result().passed
    ]
    if failed:
        _reject(tools, claim, failed)
    results: dict[int, list[ValidationResult]] = {}
    for (index, _), future in ended:
        results.setdefault(index, []).append(future.result())
    devices = tuple(
        msgspec.structs.replace(device, validation=_summary(validator, device, results.get(index, [])))
        for index, device in enumerate(claim.devices)
    )
    return msgspec.structs.replace(claim, devices=devices)


def _depth(state: JournalState, device: DeviceRecord) -> Depth:
    unused = device.placement is None and set(device.gpu_uuids) <= set(state.clean)
    return Depth.QUICK if unused else Depth.FULL


def _summary(validator: Validator, device: DeviceRecord, results: list[ValidationResult]) -> ValidationSummary | None:
    if device.admin:
        return None
    if not results:
        return ValidationSummary(method=validator.name, depth="skipped", reason="shared")
    return ValidationSummary(
        method=results[0].method,
        depth=results[0].depth.value,
        seconds=max(result.seconds for result in results),
        memory_coverage=min(result.memory_coverage for result in results),
    )


def _target(tools: Tools, device: DeviceRecord, gpu_uuid: str) -> ValidationTarget:
    gpu = _gpu(tools, gpu_uuid)
    profile = offered_device(device, tools.node.gpus).profile
    return ValidationTarget(
        gpu=gpu,
        instance=find_instance(tools, device),
        memory_mib=profile.memory_mib if profile else gpu.memory_mib,
        multiprocessors=profile.multiprocessors if profile else gpu.multiprocessors,
    )


def _reject(tools: Tools, claim: ClaimRecord, failed: list[tuple[DeviceRecord, str, ValidationResult]]) -> None:
    """Quarantine before anything else, so that nobody is sent here while the steps are undone."""

    def undoing(state: JournalState) -> JournalState:
        return state.with_claim(claim.after(ClaimEvent.UNDO))

    faults = [
        Fault(
            gpu_uuid=gpu_uuid,
            reason=VALIDATION,
            message=f"{device.device}: {_found(result)}",
            start=device.start,
            size=device.size,
        )
        for device, gpu_uuid, result in failed
    ]
    tools.quarantine(*faults, also=undoing)
    device, _, result = failed[0]
    raise ValidationFailed(
        f"{device.device} failed its validation ({result.method}, {result.depth}): {_found(result)}",
        advice="the device is quarantined; delete the pod, so that its next one is placed elsewhere",
    )


def _found(result: ValidationResult) -> str:
    return "; ".join(result.findings[:3])


def _gpu(tools: Tools, gpu_uuid: str) -> Gpu:
    gpu = tools.gpu(gpu_uuid)
    if gpu is None:
        raise Retryable(f"GPU {gpu_uuid} does not answer", delay_seconds=10.0)
    return gpu
