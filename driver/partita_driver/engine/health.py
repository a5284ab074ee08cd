"""What GPUs say of themselves, asked for behind deadlines: it makes faults, and it keeps them."""

from __future__ import annotations

import structlog

from partita_driver.engine.tools import Tools
from partita_driver.hardware.calls import HardwareError
from partita_driver.health.classes import faults_from
from partita_driver.health.faults import Cure, Fault
from partita_plugins.errors import NvmlCode, Retryable

log = structlog.get_logger(__name__)


def reported_faults(tools: Tools, gpu_uuid: str) -> tuple[Fault, ...]:
    """The faults that a GPU reports now. Raises HardwareError or Retryable where it does not answer."""
    try:
        events = tools.hardware.health(gpu_uuid)
    except HardwareError as error:
        if error.code is NvmlCode.NOT_SUPPORTED:
            return ()
        raise
    now = tools.runtime.unix_seconds()
    return tuple(fault for event in events for fault in faults_from(event, now))


def check_health(tools: Tools) -> None:
    """Quarantine what any GPU reports, and any GPU that does not answer: events alone miss what was before them."""
    for gpu in tools.node.hardware.gpus:
        try:
            if faults := reported_faults(tools, gpu.uuid):
                tools.quarantine.add(*faults)
        except (HardwareError, Retryable) as error:
            log.warning("a GPU does not tell of its health", gpu=gpu.uuid, error=str(tools.quarantine.blamed(error)))


def still_reported(fault: Fault, reported: tuple[Fault, ...]) -> bool:
    """Whether the hardware stands by a fault: it reports that very one, or what needs more than a validation."""
    if any(one.key == fault.key for one in reported):
        return True
    return fault.cure is not Cure.VALIDATION and any(one.cure is not Cure.VALIDATION for one in reported)
