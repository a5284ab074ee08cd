"""Which replica answers: the one that holds a Lease. Two views would each forget half of the assumptions.

The holder's clock is never compared with ours: a lease has run out when its record has not changed for its duration
on our own monotonic clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import structlog

from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_scheduler.leader.lease import LEASE_SECONDS, LeaseRecord, LeaseSpec

log = structlog.get_logger(__name__)

RENEW_WITHIN_SECONDS = 10.0
"""A holder that could not renew for this long stops answering, before anybody else may begin."""

STEP_SECONDS = 2.0
UNABLE_STEP_SECONDS = 0.2
"""While the view is not there yet; asks the API server nothing."""

NEVER = -float("inf")


class LeaderElector:
    """Tries to hold one Lease. `leading` may be asked from any thread and is false as soon as it is in doubt."""

    def __init__(
        self,
        api: KubeApi,
        *,
        identity: str,
        namespace: str,
        name: str = "partita-scheduler",
        able: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`able` is false while this replica could not answer: then it leaves the lease to another."""
        self._record = LeaseRecord(api, namespace=namespace, name=name)
        self._identity, self._able, self._clock = identity, able, clock
        self._seen = LeaseSpec()
        self._seen_at = clock()
        self._until = NEVER

    @property
    def leading(self) -> bool:
        return self._clock() < self._until

    def run(self, stopping: threading.Event) -> None:
        """Step until stopped, then give the lease back so that the standby need not wait for its end."""
        while True:
            self.step()
            if stopping.wait(STEP_SECONDS if self._able() else UNABLE_STEP_SECONDS):
                break
        self.release()

    def step(self) -> bool:
        """Take or renew the lease if that is possible now. Never raises; true if we lead."""
        was_leading = self.leading
        asked_at = self._clock()
        if not self._able():
            self.release()
            return False
        try:
            # Counted from before the request, so that we stop before the others start.
            self._until = asked_at + RENEW_WITHIN_SECONDS if self._try() else NEVER
        except (PartitaError, msgspec.DecodeError) as error:
            log.warning("lease not renewed", error=str(error))
        if self.leading != was_leading:
            log.info("leading" if self.leading else "not leading", identity=self._identity)
        return self.leading

    def release(self) -> None:
        """Give the lease up if we hold it; a failure only makes the next holder wait."""
        if not self.leading:
            return
        self._until = NEVER
        log.info("lease given back", identity=self._identity)
        try:
            lease = self._record.read()
            if lease is not None and lease.spec.holder_identity == self._identity:
                spec = msgspec.structs.replace(lease.spec, holder_identity="", lease_duration_seconds=1)
                self._record.replace(lease, spec)
        except (PartitaError, msgspec.DecodeError) as error:
            log.warning("lease not released", error=str(error))

    def _try(self) -> bool:
        lease = self._record.read()
        if lease is None:
            self._record.create(self._mine(LeaseSpec()))
            return True
        if lease.spec != self._seen:
            self._seen, self._seen_at = lease.spec, self._clock()
        if not self._free(lease.spec):
            return False
        self._record.replace(lease, self._mine(lease.spec))
        return True

    def _free(self, spec: LeaseSpec) -> bool:
        if spec.holder_identity in (None, "", self._identity):
            return True
        return self._clock() - self._seen_at >= (spec.lease_duration_seconds or LEASE_SECONDS)

    def _mine(self, old: LeaseSpec) -> LeaseSpec:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        held = old.holder_identity == self._identity
        return LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=LEASE_SECONDS,
            acquire_time=old.acquire_time if held else now,
            renew_time=now,
            lease_transitions=(old.lease_transitions or 0) + (0 if held else 1),
        )
