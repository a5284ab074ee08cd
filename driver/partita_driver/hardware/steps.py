"""Steps carried out on the hardware: each is done and undone by a pair of functions, found in a table.

Both are idempotent: what is found done is done, what is found gone is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from partita_driver.fault_points import reached
from partita_driver.hardware import instances
from partita_driver.hardware.calls import Hardware, HardwareError
from partita_driver.mps.keeper import Mps
from partita_plugins.errors import NvmlCode, Permanent, Retryable
from partita_plugins.model.gpu import Gpu, MigSupport
from partita_plugins.model.instances import ComputeMode
from partita_plugins.model.steps import (
    CreateComputeInstance,
    CreateGpuInstance,
    EnableMig,
    MakeMpsFolders,
    RunMpsDaemon,
    SetExclusiveProcess,
    SetTimeSlice,
    Step,
)

log = structlog.get_logger(__name__)

BESIDE_THE_GPU = (MakeMpsFolders, RunMpsDaemon)
"""Steps that are undone without the GPU: it may be lost."""


def do(hardware: Hardware, step: Step, gpu: Gpu) -> None:
    """Carry out a step on the GPU; found done, it is done."""
    STEPS[type(step)].do(hardware, step, gpu)


def undo(hardware: Hardware, step: Step, gpu: Gpu) -> None:
    """Take a step on the GPU back; found gone, it is undone."""
    STEPS[type(step)].undo(hardware, step, gpu)


def do_beside(mps: Mps | None, step: MakeMpsFolders | RunMpsDaemon, claim_uid: str) -> None:
    """Carry out one of BESIDE_THE_GPU; found done, it is done. Raises DaemonStarting: what was done stays."""
    if mps is None:
        raise Permanent("this driver runs no MPS daemons", advice='leave "sharing: MPS" out of the claim')
    if isinstance(step, MakeMpsFolders):
        mps.make_folders(claim_uid)
    else:
        mps.run(claim_uid, step)


def undo_beside(mps: Mps | None, step: MakeMpsFolders | RunMpsDaemon, claim_uid: str) -> None:
    """Take one of BESIDE_THE_GPU back; found gone, it is undone."""
    if mps is None:
        raise Retryable("an MPS daemon cannot be ended from here", advice="see that the API server can be reached")
    if isinstance(step, MakeMpsFolders):
        mps.remove_folders(claim_uid)
    else:
        mps.stop(claim_uid)


def _mig(gpu: Gpu) -> MigSupport:
    if gpu.mig is None:
        raise Permanent(f"{gpu.product} has no MIG", advice="choose another DeviceClass")
    return gpu.mig


def _enable_mig(hardware: Hardware, step: EnableMig, gpu: Gpu) -> None:
    mig = _mig(gpu)
    if mig.enabled:
        return
    if mig.mode_needs_reset:
        # A mode left pending would surprise the next one who resets the GPU.
        raise Permanent(
            f"MIG is off on {gpu.pci_bus_id}, and this GPU needs a reset to switch it on",
            advice="drain the node, then `nvidia-smi -mig 1` and `nvidia-smi --gpu-reset`; or stop offering MIG here",
        )
    hardware.set_mig_mode(step.gpu_uuid, enabled=True)
    reached("done-enable-mig")


def _disable_mig(hardware: Hardware, step: EnableMig, gpu: Gpu) -> None:
    # The caller's snapshot may be older than the switch, so this asks for "off" whatever it says.
    if _mig(gpu).mode_needs_reset or hardware.instances(step.gpu_uuid):
        return
    try:
        hardware.set_mig_mode(step.gpu_uuid, enabled=False)
    except HardwareError as error:
        if error.code is not NvmlCode.IN_USE:
            raise
        # An agent that keeps the GPU open must not keep the pod: who needs the GPU without MIG switches it off.
        log.info("MIG stays on, the GPU is in use", gpu=step.gpu_uuid, error=str(error))
        return
    reached("undone-enable-mig")


def _set_time_slice(hardware: Hardware, step: SetTimeSlice, _gpu: Gpu) -> None:
    hardware.set_time_slice(step.gpu_uuid, step.interval)
    reached("done-set-time-slice")


@dataclass(frozen=True, slots=True)
class Hands:
    """How a kind of step is done and undone."""

    do: Callable[[Hardware, Any, Gpu], None]
    undo: Callable[[Hardware, Any, Gpu], None]


STEPS: Mapping[type[Step], Hands] = {
    EnableMig: Hands(_enable_mig, _disable_mig),
    CreateGpuInstance: Hands(
        lambda hardware, step, _gpu: instances.make_gpu_instance(hardware, step),
        lambda hardware, step, _gpu: instances.drop_gpu_instance(hardware, step),
    ),
    CreateComputeInstance: Hands(
        lambda hardware, step, _gpu: instances.make_compute_instance(hardware, step),
        lambda hardware, step, _gpu: instances.drop_compute_instances(hardware, step),
    ),
    SetTimeSlice: Hands(
        _set_time_slice,
        lambda hardware, step, _gpu: hardware.reset_time_slice(step.gpu_uuid),
    ),
    SetExclusiveProcess: Hands(
        lambda hardware, step, _gpu: hardware.set_compute_mode(step.gpu_uuid, ComputeMode.EXCLUSIVE_PROCESS),
        lambda hardware, step, _gpu: hardware.reset_compute_mode(step.gpu_uuid),
    ),
}
"""Every kind of step on a GPU."""
