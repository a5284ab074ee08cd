"""GPUs that no claim is on, and who computes on them all the same."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from partita_driver.engine.tools import Tools
from partita_driver.hardware.calls import HardwareError
from partita_plugins.errors import NvmlCode, PartitaError
from partita_plugins.model.instances import GpuProcess

log = structlog.get_logger(__name__)


def idle_processes(tools: Tools) -> Mapping[str, tuple[GpuProcess, ...]]:
    """Processes on GPUs without any claim of ours, a validation's too; a GPU that does not answer is left out."""
    found: dict[str, tuple[GpuProcess, ...]] = {}
    for gpu in tools.node.hardware.gpus:
        if _is_held(tools, gpu.uuid):
            continue
        try:
            processes = tools.hardware.processes(gpu.uuid)
        except (PartitaError, HardwareError) as error:
            if not (isinstance(error, HardwareError) and error.code is NvmlCode.NOT_SUPPORTED):
                log.warning("processes of a GPU not listed", gpu=gpu.uuid, error=str(tools.quarantine.blamed(error)))
            continue
        # One that began meanwhile is a claim's.
        if processes and not _is_held(tools, gpu.uuid):
            found[gpu.uuid] = processes
    return found


def _is_held(tools: Tools, gpu_uuid: str) -> bool:
    """By admin access too: it owns nothing, but its pod may be the one that computes."""
    claims = tools.journal.state.claims.values()
    return any(gpu_uuid in device.gpu_uuids for claim in claims for device in claim.devices)
