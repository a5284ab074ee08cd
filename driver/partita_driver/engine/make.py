"""From intended to made and checked: the hardware steps of a claim, and the proof that its devices compute."""

from __future__ import annotations

from partita_driver.engine.instances import answering_gpu
from partita_driver.engine.rules import time_slice_of
from partita_driver.engine.tools import Tools
from partita_driver.engine.validation.check import check
from partita_driver.engine.validation.look import Check
from partita_driver.fault_points import reached
from partita_driver.hardware import steps
from partita_driver.journal.records import ClaimRecord
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimEvent
from partita_plugins.errors import Permanent, Retryable
from partita_plugins.model.instances import ComputeMode
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.steps import EnableMig, SetTimeSlice, Step


def make_and_check(tools: Tools, claim: ClaimRecord, wanted: Check) -> ClaimRecord:
    """Carry out a claim's steps and validate its devices. Raises what stopped it; the caller undoes."""
    gpu_uuids = tuple(uuid for device in claim.devices if not device.admin for uuid in device.gpu_uuids)
    shared = any(device.kind == "shared" for device in claim.devices)
    with tools.lock(gpu_uuids):
        with tools.timed("steps"):
            claim = _make(tools, claim)
        if shared:
            # The next client of this GPU trusts the verdict on the first, so it waits for it.
            return check(tools, claim, wanted)
    return check(tools, claim, wanted)


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
    gpu = answering_gpu(tools, step.gpu_uuid)
    if isinstance(step, SetTimeSlice):
        others = time_slice_of(tools.journal.state, step.gpu_uuid, without=claim.uid)
        if others is not None and step.interval in ("Default", others):
            return
        if step.interval == "Default" and _asks_for_another(claim, step.gpu_uuid):
            return
    steps.do(tools.hardware, step, gpu)
    if isinstance(step, EnableMig) and not (gpu.mig and gpu.mig.enabled):
        # The switch may have given the GPU another minor number.
        tools.refresh()


def _asks_for_another(claim: ClaimRecord, gpu_uuid: str) -> bool:
    """Whether one of a claim's shares of a GPU asks for a quantum: it may have several."""
    steps = [step for device in claim.devices for step in device.steps if isinstance(step, SetTimeSlice)]
    return any(step.gpu_uuid == gpu_uuid and step.interval != "Default" for step in steps)


def _leave_mig(tools: Tools, gpu_uuid: str) -> None:
    """CUDA cannot open a whole GPU in MIG mode: switch it off where that is cheap and nothing is lost by it."""
    gpu = answering_gpu(tools, gpu_uuid)
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
