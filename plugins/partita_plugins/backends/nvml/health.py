"""What a GPU says is wrong with it now."""

from __future__ import annotations

from typing import Any

import pynvml

from partita_plugins.backends.nvml.answers import fields, optional
from partita_plugins.model.health import HealthEvent

RECOVERY = pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
PENDING, FAILURE = pynvml.NVML_FI_DEV_REMAPPED_PENDING, pynvml.NVML_FI_DEV_REMAPPED_FAILURE

ACTIONS = {
    pynvml.NVML_GPU_RECOVERY_ACTION_NONE: "",
    pynvml.NVML_GPU_RECOVERY_ACTION_GPU_RESET: "recovery-reset",
    pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT: "recovery-reboot",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_P2P: "recovery-drain-p2p",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_AND_RESET: "recovery-drain-and-reset",
    # Newer ones, each as the least of the four that does it too.
    pynvml.NVML_GPU_RECOVERY_ACTION_RECOVER_IMEX_DOMAIN: "recovery-drain-p2p",
    pynvml.NVML_GPU_RECOVERY_ACTION_BUS_RESET: "recovery-reboot",
    pynvml.NVML_GPU_RECOVERY_ACTION_SYSTEM_REBOOT: "recovery-reboot",
}

MESSAGES = {
    "gpu-lost": "the GPU has fallen off the bus",
    "ecc": "uncorrectable memory errors since the last reset",
    "remap-pending": "memory rows wait for a reset to be replaced",
    "remap-failed": "memory rows could not be replaced",
    "recovery-reset": "the driver asks for a reset of the GPU",
    "recovery-reboot": "the driver asks for a reboot of the node",
    "recovery-drain-p2p": "the driver asks for an end of all peer-to-peer traffic of the GPU",
    "recovery-drain-and-reset": "the driver asks for a drain and a reset of the GPU",
}


def report(gpu_uuid: str, kind: str) -> HealthEvent:
    """A report about all of a GPU."""
    return HealthEvent(gpu_uuid=gpu_uuid, kind=kind, message=MESSAGES.get(kind, f"the GPU reports {kind}"))


def recovery_action(handle: Any) -> str | None:
    """The kind of the action that the driver asks for, empty for none; None where the driver has no word for it."""
    action = fields(handle, [RECOVERY]).get(RECOVERY)
    return None if action is None else ACTIONS.get(action, f"recovery-{action}")


def state(handle: Any, action: str | None) -> tuple[str, ...]:
    """Kinds of everything that is wrong but the recovery action, which is known.

    Errors are counted until a reset, also those that were contained. A driver with a recovery action (R570) says
    whether one is needed; of an older one the count is all that there is to go by.
    """
    pending, failure = _remap(handle)
    errors = action is None and (uncorrectable_errors(handle) or 0) > 0
    wrong = {"ecc": errors, "remap-pending": pending, "remap-failed": failure}
    return tuple(kind for kind, there in wrong.items() if there)


def uncorrectable_errors(handle: Any) -> int | None:
    """ECC errors since the driver was loaded or the GPU was reset, in memory and in SRAM; None where it cannot tell."""
    kind, counter = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    return optional(pynvml.nvmlDeviceGetTotalEccErrors, handle, kind, counter, otherwise=None)


def counters(handle: Any) -> dict[str, int]:
    """What only grows until the GPU is reset or its driver reloaded: energy in mJ, uncorrectable errors.

    One that the GPU cannot tell is left out.
    """
    energy = optional(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle, otherwise=None)
    found = {"energy_mj": energy, "ecc_errors": uncorrectable_errors(handle)}
    return {name: value for name, value in found.items() if value is not None}


def _remap(handle: Any) -> tuple[bool, bool]:
    """Whether rows wait for a reset, and whether a replacement failed. Before Ampere it is pages that are retired."""
    found = fields(handle, [PENDING, FAILURE])
    if found:
        return bool(found.get(PENDING)), bool(found.get(FAILURE))
    rows = optional(pynvml.nvmlDeviceGetRemappedRows, handle, otherwise=None)  # not while MIG is on
    if rows is not None:
        return bool(rows[2]), bool(rows[3])
    return bool(optional(pynvml.nvmlDeviceGetRetiredPagesPendingStatus, handle, otherwise=0)), False
