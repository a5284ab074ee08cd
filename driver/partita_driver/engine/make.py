"""From intended to made and checked: the hardware steps of a claim, and the proof that its devices compute."""

from __future__ import annotations

import msgspec

from partita_driver.engine.grants import offered_device
from partita_driver.engine.rules import shared_with_others, time_slice_of, with_clean
from partita_driver.engine.tools import Tools
from partita_driver.fault_points import reached
from partita_driver.faults import VALIDATION, Fault
from partita_driver.journal import Durability
from partita_driver.journal_records import ClaimRecord, DeviceRecord, JournalState, ValidationSummary
from partita_driver.lifecycle import ClaimEvent
from partita_plugins.contracts import Depth, ValidationResult, ValidationTarget, Validator
from partita_plugins.errors import Permanent, Retryable, ValidationFailed
from partita_plugins.model.gpu import Gpu, GpuInstance
from partita_plugins.model.steps import EnableMig, SetTimeSlice, Step


def make_and_check(tools: Tools, claim: ClaimRecord) -> ClaimRecord:
    """Carry out a claim's steps and validate its devices. Raises what stopped it; the caller undoes."""
    gpu_uuids = tuple(uuid for device in claim.devices if not device.admin for uuid in device.gpu_uuids)
    shared = any(device.kind == "shared" for device in claim.devices)
    with tools.lock(gpu_uuids):
        with tools.timed("steps"):
            claim = _make(tools, claim)
        if shared:
            # The next client of this GPU trusts the verdict on the first, so it waits for it.
            return _check(tools, claim)
    return _check(tools, claim)


def find_instance(tools: Tools, device: DeviceRecord) -> GpuInstance | None:
    """The partition of a MIG device, able to compute; None for other kinds. Raises Retryable if it is not there."""
    if device.placement is None or device.profile_id is None:
        return None
    instance = tools.hardware.find(device.gpu_uuids[0], device.profile_id, device.placement)
    if instance is None or not instance.compute_instances:
        raise Retryable(f"the partition {device.device} is not there", delay_seconds=2.0)
    return instance


def _make(tools: Tools, claim: ClaimRecord) -> ClaimRecord:
    for device in claim.devices:
        if device.admin:
            continue
        if device.placement is None:
            for gpu_uuid in device.gpu_uuids:
                _leave_mig(tools, gpu_uuid)
        for step in device.steps:
            _do(tools, claim, step)
    return tools.put(claim, ClaimEvent.MAKE, Durability.LATER)


def _do(tools: Tools, claim: ClaimRecord, step: Step) -> None:
    gpu = _gpu(tools, step.gpu_uuid)
    if isinstance(step, SetTimeSlice):
        others = time_slice_of(tools.journal.state, step.gpu_uuid, without=claim.uid)
        if others is not None and step.interval in ("Default", others):
            return
    tools.hardware.do(step, gpu)
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
    tools.refresh()


def _check(tools: Tools, claim: ClaimRecord) -> ClaimRecord:
    reached("made")
    proven: list[str] = []
    devices = []
    for device in claim.devices:
        summary = None
        if tools.validator is not None and not device.admin:
            with tools.timed("validate"):
                summary = _validate(tools, tools.validator, claim, device)
            if summary.depth != "skipped" and device.placement is None:
                proven += device.gpu_uuids
        devices.append(msgspec.structs.replace(device, validation=summary))
    checked = msgspec.structs.replace(claim, devices=tuple(devices))
    return tools.put(checked, ClaimEvent.CHECK, Durability.LATER, lambda state: with_clean(state, add=proven))


def _validate(tools: Tools, validator: Validator, claim: ClaimRecord, device: DeviceRecord) -> ValidationSummary:
    state = tools.journal.state
    if shared_with_others(state, claim.uid, device):
        return ValidationSummary(method=validator.name, depth="skipped", reason="shared")
    fresh = device.placement is None and set(device.gpu_uuids) <= set(state.clean)
    depth = Depth.QUICK if fresh else Depth.FULL
    results = []
    for gpu_uuid in device.gpu_uuids:
        result = tools.hardware.validate(validator, _target(tools, device, gpu_uuid), depth)
        if not result.passed:
            _reject(tools, claim, device, gpu_uuid, result)
        results.append(result)
    return ValidationSummary(
        method=validator.name,
        depth=depth.value,
        seconds=sum(result.seconds for result in results),
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


def _reject(tools: Tools, claim: ClaimRecord, device: DeviceRecord, gpu_uuid: str, result: ValidationResult) -> None:
    """Quarantine before anything else, so that nobody is sent here while the steps are undone."""
    found = "; ".join(result.findings[:3])
    fault = Fault(
        gpu_uuid=gpu_uuid, reason=VALIDATION, message=f"{device.device}: {found}", start=device.start, size=device.size
    )

    def undoing(state: JournalState) -> JournalState:
        return state.with_claim(claim.after(ClaimEvent.UNDO))

    tools.quarantine(fault, undoing)
    raise ValidationFailed(
        f"{device.device} failed its validation ({result.method}, {result.depth}): {found}",
        advice="the device is quarantined; delete the pod, so that its next one is placed elsewhere",
    )


def _gpu(tools: Tools, gpu_uuid: str) -> Gpu:
    gpu = tools.gpu(gpu_uuid)
    if gpu is None:
        raise Retryable(f"GPU {gpu_uuid} does not answer", delay_seconds=10.0)
    return gpu
