"""Which replica answers: the one that holds a Lease. Two views would each forget half of the assumptions.

The holder's clock is never compared with ours: a lease has run out when its record has not changed for its duration
on our own monotonic clock.

A holder that ends gives the lease back with notice: whoever takes it begins to answer that much later, and the old one
may until shortly before. So there is hardly a moment in which nobody answers, and none in which two do: each would
judge nodes without what the other has just promised, and prefer one for devices that are gone. No opinion does less
harm.
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
from partita_scheduler.leader.lease import LEASE_SECONDS, Lease, LeaseRecord, LeaseSpec

log = structlog.get_logger(__name__)

RENEW_WITHIN_SECONDS = 10.0
"""A holder that could not renew for this long stops answering, before anybody else may begin."""

NOTICE_SECONDS = 3
"""From taking a lease that was given back to answering: a Ready replica is known to kube-proxy everywhere by then (its
probe is asked each second)."""

ANSWERS_SECONDS = NOTICE_SECONDS - 0.3
"""How long its old holder answers after it has last seen the lease free. The difference is for an answer that it has
begun, whose search may take 0.2 s."""

LEFT_SECONDS = 1
"""Given back without notice: nobody answers. (A Lease has no 0.)"""

STEP_SECONDS = 2.0
STANDBY_STEP_SECONDS = 1.0
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
        self._from = self._until = NEVER
        """When we answer, by our clock."""

        self._led = self._blind = False
        """What has been logged last."""

        self._notice = 0

    @property
    def leading(self) -> bool:
        """Whether we are the one that answers."""
        return self._from <= self._clock() < self._until

    @property
    def holding(self) -> bool:
        """Whether we answer, or will when the one before has ended."""
        return self._clock() < self._until

    @property
    def answers_seconds(self) -> float:
        """How long we may answer yet, if the lease is not renewed."""
        return max(0.0, self._until - self._clock())

    def run(self, stopping: threading.Event) -> None:
        """Step until stopped. What we hold then is still to be handed over, or released."""
        while True:
            self.step()
            if stopping.wait(self._pause()):
                return

    def _pause(self) -> float:
        if not self._able():
            return UNABLE_STEP_SECONDS
        return STEP_SECONDS if self.holding else STANDBY_STEP_SECONDS

    def step(self) -> bool:
        """Take or renew the lease if that is possible now. Never raises; true if we lead."""
        asked_at = self._clock()
        if not self._able():
            self.release()
            return False
        try:
            # Counted from before the request, so that we stop before the others start.
            self._until = asked_at + RENEW_WITHIN_SECONDS if self._try() else NEVER
        except (PartitaError, msgspec.DecodeError) as error:
            log.warning("lease not renewed", error=str(error))
        leading = self.leading
        if leading != self._led:  # It begins and ends by time, between two steps.
            self._led = leading
            log.info("leading" if leading else "not leading", identity=self._identity)
        return leading

    def release(self) -> None:
        """Answer no more, and give the lease up if we hold it; a failure only makes the next holder wait."""
        if not self.holding:
            return
        before_our_turn = self._clock() < self._from  # The one before us may answer still.
        self._until, self._led = NEVER, False
        log.info("lease given back", identity=self._identity)
        try:
            lease = self._record.read()
            if lease is not None and lease.spec.holder_identity in (None, "", self._identity):
                self._free(lease, NOTICE_SECONDS if before_our_turn else LEFT_SECONDS)
        except (PartitaError, msgspec.DecodeError) as error:
            log.warning("lease not released", error=str(error))

    def hand_over(self) -> bool:
        """Offer the lease that we hold, with notice; whether another has it. Never raises; no step may follow.

        Called again and again, it lets us answer while nobody has the lease, and after that until the notice is over.
        """
        asked_at = self._clock()
        self._until = min(self._until, asked_at + ANSWERS_SECONDS)
        try:
            lease = self._record.read()
            if lease is None or lease.spec.holder_identity not in (None, "", self._identity):
                return True
            if lease.spec.holder_identity:
                self._free(lease, NOTICE_SECONDS if self.leading else LEFT_SECONDS)
                log.info("lease offered", identity=self._identity)
        except (PartitaError, msgspec.DecodeError) as error:
            if not self._blind:
                log.warning("lease not seen", error=str(error))
            self._blind = True
            return False
        if self.leading:  # Else another may have had it since.
            self._until = asked_at + ANSWERS_SECONDS
        return False

    def _free(self, lease: Lease, seconds: int) -> None:
        spec = msgspec.structs.replace(lease.spec, holder_identity="", lease_duration_seconds=seconds)
        self._record.replace(lease, spec)

    def _try(self) -> bool:
        lease = self._record.read()
        if lease is None:
            self._record.create(self._mine(LeaseSpec()))
            return True
        if lease.spec != self._seen:
            self._seen, self._seen_at = lease.spec, self._clock()
        if lease.spec.holder_identity not in (None, "", self._identity):
            self._notice = 0  # it was for another
        if not self._may_take(lease.spec):
            return False
        if lease.spec.holder_identity in (None, ""):
            self._notice = _notice_seconds(lease.spec)
        self._record.replace(lease, self._mine(lease.spec))
        if self._notice:  # Kept until we know that we hold the lease: the answer to an earlier write may be lost.
            self._from, self._notice = self._clock() + self._notice, 0
        return True

    def _may_take(self, spec: LeaseSpec) -> bool:
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


def _notice_seconds(spec: LeaseSpec) -> int:
    """Of a lease that nobody holds."""
    seconds = spec.lease_duration_seconds or 0
    return 0 if seconds <= LEFT_SECONDS else min(seconds, LEASE_SECONDS)
