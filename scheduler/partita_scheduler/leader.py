"""Which replica answers: the one that holds a Lease. Two views would each forget half of the assumptions.

The holder's clock is never compared with ours: a lease has run out when its record has not changed for its duration
on our own monotonic clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound
from partita_plugins.kube.resources import LEASES
from partita_plugins.wire.objects import ObjectMeta, Struct

log = structlog.get_logger(__name__)

LEASE_SECONDS = 15
RENEW_WITHIN_SECONDS = 10.0
"""A holder that could not renew for this long stops answering, before anybody else may begin."""

STEP_SECONDS = 2.0
UNABLE_STEP_SECONDS = 0.2
"""While the view is not there yet; asks the API server nothing."""


class LeaseSpec(Struct, frozen=True, kw_only=True):
    """Who holds it, and since when."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Struct, frozen=True, kw_only=True):
    """coordination.k8s.io/v1 Lease."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()


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
        self._api, self._identity, self._namespace, self._name = api, identity, namespace, name
        self._able, self._clock = able, clock
        self._seen = LeaseSpec()
        self._seen_at = clock()
        self._renewed_at = -float("inf")

    @property
    def leading(self) -> bool:
        return self._clock() - self._renewed_at < RENEW_WITHIN_SECONDS

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
            self._renewed_at = asked_at if self._try() else -float("inf")
        except (PartitaError, msgspec.DecodeError) as error:
            log.warning("lease not renewed", error=str(error))
        if self.leading != was_leading:
            log.info("leading" if self.leading else "not leading", identity=self._identity)
        return self.leading

    def release(self) -> None:
        """Give the lease up if we hold it; a failure only makes the next holder wait."""
        if not self.leading:
            return
        self._renewed_at = -float("inf")
        log.info("lease given back", identity=self._identity)
        try:
            lease = self._api.get(LEASES, self._name, self._namespace, as_=Lease)
            if lease.spec.holder_identity == self._identity:
                spec = msgspec.structs.replace(lease.spec, holder_identity="", lease_duration_seconds=1)
                self._write(lease, spec)
        except (PartitaError, msgspec.DecodeError) as error:
            log.warning("lease not released", error=str(error))

    def _try(self) -> bool:
        try:
            lease = self._api.get(LEASES, self._name, self._namespace, as_=Lease)
        except NotFound:
            self._api.create(LEASES, self._body(ObjectMeta(), self._mine(LeaseSpec())), self._namespace)
            return True
        if lease.spec != self._seen:
            self._seen, self._seen_at = lease.spec, self._clock()
        if not self._free(lease.spec):
            return False
        self._write(lease, self._mine(lease.spec))
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

    def _write(self, lease: Lease, spec: LeaseSpec) -> None:
        # With the resource version that was read: of two candidates, the second gets a Conflict.
        self._api.replace(LEASES, self._name, self._body(lease.metadata, spec), self._namespace)

    def _body(self, metadata: ObjectMeta, spec: LeaseSpec) -> dict[str, Any]:
        return {
            "apiVersion": LEASES.group_version,
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                **({"resourceVersion": metadata.resource_version} if metadata.resource_version else {}),
            },
            "spec": spec,
        }
