"""The GPUs' own reports: events become faults, and faults are tried again until the hardware passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from partita_driver.health.classes import faults_from
from partita_driver.health.faults import GPU_LOST, Fault
from partita_driver.loop import Loop
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.errors import PartitaError
from partita_plugins.model.health import MIG_CHANGE, HealthEvent
from partita_plugins.pauses import Pause

log = structlog.get_logger(__name__)

WAIT_SECONDS = 5.0
"""Longest wait for an event."""

STOP_SECONDS = 0.2
"""A thread that waits for events holds nothing: it is left behind."""

LOOK_SECONDS = 15.0
"""Between looks at faults and at the hardware as a whole."""

LOOK_SECONDS_MIN = 0.1

AGAIN = Pause(30.0, 3600.0)
"""Before a fault's hardware is validated again."""


class FaultKeeper(Protocol):
    """What this module needs of the claim engine."""

    def faults(self) -> tuple[Fault, ...]: ...
    def add_faults(self, *faults: Fault) -> None: ...
    def revalidate(self, fault: Fault) -> bool: ...
    def refresh(self) -> bool: ...
    def check_health(self) -> None: ...
    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]: ...


class HealthWatch:
    """Three loops: one waits for events, one looks at the hardware, one tries faults again, which takes minutes."""

    longest_stop_seconds = STOP_SECONDS + 2 * Loop.longest_stop_seconds

    def __init__(
        self,
        keeper: FaultKeeper,
        on_change: Callable[[], None],
        *,
        wait_seconds: float = WAIT_SECONDS,
        again: Pause = AGAIN,
        look_seconds: float = LOOK_SECONDS,
        on_instances: Callable[[], None] = lambda: None,
        runtime: Runtime = THREADS,
    ) -> None:
        """`on_change` is called when faults or hardware changed, `on_instances` when MIG instances may have."""
        self._keeper, self._on_change, self._runtime = keeper, on_change, runtime
        self._on_instances = on_instances
        self._wait_seconds, self._again = wait_seconds, again
        self._look_seconds = min(look_seconds, max(again.first_seconds, LOOK_SECONDS_MIN))
        self._tries: dict[tuple[object, ...], tuple[int, float]] = {}
        self.events = Loop("gpu-events", self.step_events, runtime)
        self.look = Loop("gpu-health", self.step_look, runtime)
        self.recovery = Loop("gpu-recovery", self.step_recovery, runtime)

    def start(self) -> None:
        for loop in (self.events, self.look, self.recovery):
            loop.start()

    def stop(self) -> None:
        self.events.stop(STOP_SECONDS)
        self.look.stop()
        self.recovery.stop()

    def step_events(self) -> float:
        """Wait for events and quarantine what they concern. Returns seconds until the next wait."""
        try:
            events = self._keeper.wait_events(self._wait_seconds)
        except PartitaError as error:
            log.warning("the GPUs' events cannot be read", error=str(error))
            return self._wait_seconds
        now = self._runtime.unix_seconds()
        faults = [fault for event in events for fault in faults_from(event, now)]
        for fault in faults:
            log.error("a GPU reports a fault", gpu=fault.gpu_uuid, reason=fault.reason, message=fault.message)
        if faults:
            self._keeper.add_faults(*faults)
        if any(event.kind == MIG_CHANGE for event in events):
            self._on_instances()
        if any(event.kind != MIG_CHANGE for event in events):
            # An event is an edge, and may stand for a state that other fields tell of.
            self._keeper.check_health()
        if any(event.kind == GPU_LOST for event in events):
            self._looks_different()
        if faults:
            self._on_change()
        return 0.0

    def step_look(self) -> float:
        """Look at the hardware and its health. Returns seconds until the next look."""
        changed = self._looks_different()
        self._keeper.check_health()
        if changed:
            self._on_change()
        return self._look_seconds

    def step_recovery(self) -> float:
        """Validate again what is due, one part after the other. Returns seconds until the next step."""
        changed = False
        faults = self._keeper.faults()
        now = self._runtime.monotonic()
        fresh = (1, now + self._again.after(1))
        self._tries = {fault.key: self._tries.get(fault.key, fresh) for fault in faults}
        for fault in faults:
            tries, due = self._tries[fault.key]
            if due > now:
                continue
            if self._passes(fault):
                log.info("passed again", gpu=fault.gpu_uuid, reason=fault.reason)
                changed = True
            self._tries[fault.key] = (tries + 1, self._runtime.monotonic() + self._again.after(tries + 1))
        if changed:
            self._on_change()
        return self._look_seconds

    def _looks_different(self) -> bool:
        try:
            return self._keeper.refresh()
        except PartitaError as error:
            log.warning("the hardware cannot be read", error=str(error))
            return False

    def _passes(self, fault: Fault) -> bool:
        try:
            return self._keeper.revalidate(fault)
        except PartitaError as error:
            log.warning("cannot validate again", gpu=fault.gpu_uuid, reason=fault.reason, error=str(error))
            return False
