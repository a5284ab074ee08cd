"""What the driver does from time to time, and first after its start: bring journal, hardware, CDI and API together."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from partita_driver.api.claims import ClaimsInApi
from partita_driver.engine import ClaimEngine
from partita_driver.loop import Loop
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.errors import PartitaError
from partita_plugins.pauses import Backoff, Pause, spread

log = structlog.get_logger(__name__)

UPKEEP_SECONDS = 60.0
CONFIRM = Pause(1.0, 10.0)
"""Between questions to an API server that does not answer, while the journal begins anew."""

GONE_SECONDS = 300.0
"""From a prepared claim's end in the API until it is undone without the kubelet: its container may still be ending."""


class Upkeep:
    """A loop around the claim engine's reconciling. `step` may be called alone; start() lets a thread call it."""

    longest_stop_seconds = Loop.longest_stop_seconds

    def __init__(
        self,
        engine: ClaimEngine,
        *,
        claims: ClaimsInApi,
        on_finding: Callable[[str], bool],
        on_done: Callable[[], None],
        gone_seconds: float = GONE_SECONDS,
        runtime: Runtime = THREADS,
    ) -> None:
        """`on_done` is called after every step that could be taken.

        `on_finding` tells of damage found at the start; False: not now, it is told again.
        """
        self._engine, self._claims, self._gone_seconds = engine, claims, gone_seconds
        self._on_finding, self._on_done = on_finding, on_done
        self._told: set[str] = set()
        self._runtime, self._unconfirmed = runtime, Backoff(CONFIRM, runtime.random)
        self.loop = Loop("upkeep", self.step, runtime)

    def start(self) -> None:
        self.loop.start()

    def stop(self) -> None:
        self.loop.stop()

    def request(self, delay_seconds: float = 0.0) -> None:
        """Something changed: take a step within this time."""
        self.loop.wake(delay_seconds)

    def step(self) -> float:
        """Bring all together. Returns seconds until the next time."""
        try:
            # A journal that begins anew is confirmed before anything is undone or published.
            self._engine.confirm()
        except PartitaError as error:
            log.warning("the journal begins anew, and the API server does not say what it knows", error=str(error))
            return self._unconfirmed.next_seconds(error)
        self._unconfirmed.reset()
        self._told.update(finding for finding in set(self._engine.findings) - self._told if self._on_finding(finding))
        self._engine.reconcile()
        # What is half done is asked for every time.
        self._claims.trust_only(self._engine.prepared().keys())
        gone = self._engine.reconcile_claims(self._claims.holds, gone_seconds=self._gone_seconds)
        if gone:
            log.info("claims that hold nothing here any more were undone", claims=len(gone))
        self._on_done()
        return spread(UPKEEP_SECONDS, self._runtime.random)

    def step_now(self) -> float:
        """`step`, with every claim asked for."""
        self._claims.doubt()
        return self.step()
