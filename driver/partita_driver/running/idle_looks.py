"""When which idle GPU is looked at: after it was given back, and when it was not looked at for a set time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

import structlog

from partita_driver.engine.validation.idle import IdleGpu, Outcome
from partita_driver.loop import Loop
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.errors import ValidationFailed
from partita_plugins.pauses import spread

log = structlog.get_logger(__name__)

QUIET_SECONDS = 10.0
"""From a GPU's return to a look at it: often the next claim is there already."""

AGAIN_SECONDS = 60.0
"""After a look that could not be taken."""

LOOK_SECONDS = 15.0
"""Between looks at who is idle, which cost nothing."""

STOP_SECONDS = 0.2
"""A look that was given up ends while the other parts stop; the claim engine waits for what is left of it."""


class Looker(Protocol):
    """What this module needs of the claim engine."""

    def idle_gpus(self) -> tuple[IdleGpu, ...]: ...
    def look_while_idle(self, gpu_uuid: str) -> Outcome: ...
    def stop_idle_looks(self) -> None: ...


class IdleLooks:
    """A loop that looks at one GPU after the other. `step` may be called alone; start() lets a thread call it."""

    longest_stop_seconds = STOP_SECONDS

    def __init__(
        self,
        engine: Looker,
        *,
        period_seconds: Callable[[], float | None],
        not_ours: Callable[[], Collection[str] | None],
        on_failure: Callable[[ValidationFailed], None],
        quiet_seconds: float = QUIET_SECONDS,
        runtime: Runtime = THREADS,
    ) -> None:
        """`period_seconds` is the longest time without a look, `not_ours` the UUIDs of GPUs that somebody else uses;
        None: not known yet, and nothing is looked at.
        """
        self._engine, self._period_seconds, self._not_ours = engine, period_seconds, not_ours
        self._on_failure, self._quiet_seconds, self._runtime = on_failure, quiet_seconds, runtime
        self._due: dict[str, tuple[object, float]] = {}
        """By GPU: what its time follows from, and the time, by the monotonic clock."""

        self.loop = Loop("idle-looks", self.step, runtime)

    def start(self) -> None:
        self.loop.start()

    def stop(self) -> None:
        """A look in progress is given up."""
        self._engine.stop_idle_looks()
        self.loop.stop(STOP_SECONDS)

    def wake(self) -> None:
        """GPUs may have been given back."""
        self.loop.wake()

    def step(self) -> float:
        """Look at the GPU that is longest due. Returns seconds until the next look."""
        due = self._schedule()
        now = self._runtime.monotonic()
        if not due or due[0][0] > now:
            return min(LOOK_SECONDS, due[0][0] - now) if due else LOOK_SECONDS
        _, gpu_uuid = due[0]
        self._look(gpu_uuid)
        return 0.0 if len(due) > 1 else LOOK_SECONDS

    def _look(self, gpu_uuid: str) -> None:
        try:
            outcome = self._engine.look_while_idle(gpu_uuid)
        except ValidationFailed as error:
            log.warning("an idle GPU failed its validation", gpu=gpu_uuid, error=str(error))
            self._on_failure(error)
            return
        log.info("an idle GPU was looked at", gpu=gpu_uuid, outcome=outcome.value)
        if outcome is not Outcome.PASSED and gpu_uuid in self._due:
            reason, _ = self._due[gpu_uuid]
            self._due[gpu_uuid] = (reason, self._runtime.monotonic() + spread(AGAIN_SECONDS, self._runtime.random))

    def _schedule(self) -> list[tuple[float, str]]:
        """When which idle GPU is due, the first first. A time stays until what it follows from has changed."""
        period_seconds, not_ours = self._period_seconds(), self._not_ours()
        if period_seconds is None or not_ours is None:
            return []
        idle = [gpu for gpu in self._engine.idle_gpus() if gpu.uuid not in not_ours]
        before, self._due = self._due, {}
        for gpu in idle:
            reason = (gpu, period_seconds)
            known = before.get(gpu.uuid)
            self._due[gpu.uuid] = known if known and known[0] == reason else (reason, self._due_at(gpu, period_seconds))
        return sorted((due, gpu_uuid) for gpu_uuid, (_, due) in self._due.items())

    def _due_at(self, gpu: IdleGpu, period_seconds: float) -> float:
        now = self._runtime.monotonic()
        if not gpu.clean:
            return now + spread(self._quiet_seconds, self._runtime.random)
        # A clock that was set back must not put it off for ever.
        age = max(0.0, self._runtime.unix_seconds() - gpu.looked_at)
        return now + max(0.0, spread(period_seconds, self._runtime.random) - age)
