"""Validations that no claim asks for: of quarantined hardware again, and of GPUs while nobody has them."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from partita_driver.engine.locks import Flights
from partita_driver.engine.tools import Tools
from partita_driver.engine.validation.again import revalidate
from partita_driver.engine.validation.idle import IdleGpu, Outcome, idle_gpus, look_while_idle
from partita_driver.engine.validation.own import own_claim_uid
from partita_driver.hardware.calls import HardwareError
from partita_driver.health.faults import Fault
from partita_driver.moments import Moment
from partita_plugins.errors import PartitaError, Retryable

log = structlog.get_logger(__name__)


class OwnLooks:
    """Looks at GPUs in the turn of the driver's own claims on them."""

    def __init__(self, tools: Tools, flights: Flights, undo_of: Callable[[str], None]) -> None:
        """`undo_of` tries again what could not be undone on a GPU."""
        self._tools, self._flights, self._undo_of = tools, flights, undo_of

    def again(self, fault: Fault) -> bool:
        """Whether faulty hardware that no claim holds passes now, and its fault is lifted."""
        tools = self._tools
        gpu = tools.gpu(fault.gpu_uuid)
        if gpu is None:
            return False
        # What could not be undone while the GPU did not answer stands in the way of its validation.
        self._undo_of(gpu.uuid)
        try:
            patience = tools.deadlines.lock_seconds
            uid = own_claim_uid(gpu)
            return self._flights.run(uid, "revalidate", lambda: revalidate(tools, fault, gpu), patience)
        except (PartitaError, HardwareError) as error:
            log.info("not validated again", gpu=gpu.uuid, error=str(tools.quarantine.blamed(error)))
            return False

    def idle_gpus(self) -> tuple[IdleGpu, ...]:
        """GPUs that may be looked at while nobody has them; none where no validator runs or the settings say no."""
        tools = self._tools
        if tools.validator is None or not tools.validates(Moment.IDLE):
            return ()
        return idle_gpus(tools.journal.state, tools.node)

    def while_idle(self, gpu_uuid: str) -> Outcome:
        """Validate a GPU that nobody has; a claim that arrives goes first. Raises ValidationFailed once quarantined."""
        tools = self._tools
        gpu = tools.gpu(gpu_uuid)
        if gpu is None:
            return Outcome.NOT_NOW
        try:
            return self._flights.run(own_claim_uid(gpu), "look", lambda: look_while_idle(tools, gpu), 0.0)
        except Retryable as error:
            log.info("an idle GPU was not looked at", gpu=gpu_uuid, error=str(error))
            return Outcome.NOT_NOW
