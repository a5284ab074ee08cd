"""Switching MIG mode."""

from __future__ import annotations

from typing import Any

import pynvml

from partita_plugins.backends.nvml import instances, mig
from partita_plugins.backends.nvml.answers import code_of
from partita_plugins.backends.nvml.processes import holders
from partita_plugins.errors import BackendError, NvmlCode


def switch(handle: Any, gpu_uuid: str, *, enabled: bool) -> None:
    """Switch the mode. IN_USE with clients or instances, RESET_REQUIRED with the mode pending, NOT_SUPPORTED.

    NVML's success says only that the mode is pending; why it is not current is in the activation status.
    """
    now, pending = mig.require_mig(handle)
    if now == pending == enabled:
        return
    if instances.listed(handle, gpu_uuid):
        raise BackendError(NvmlCode.IN_USE, "GPU instances exist", advice="destroy them first")
    status = pynvml.nvmlDeviceSetMigMode(handle, int(enabled))
    now, pending = mig.require_mig(handle)
    if now == enabled:
        return
    code = code_of(status)
    if code is NvmlCode.IN_USE:
        if not mig.needs_reset(handle) and pending != now:
            # A mode that nobody waits for must not become current at some later reset.
            pynvml.nvmlDeviceSetMigMode(handle, int(now))
        raise BackendError(code, "MIG mode cannot be switched: the GPU is in use", advice=holders(handle))
    raise BackendError(
        NvmlCode.RESET_REQUIRED, "MIG mode is pending", advice="reset the GPU without clients, or reboot the node"
    )
