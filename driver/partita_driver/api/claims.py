"""What the driver asks the API server about claims, apart from Prepare: who still exists, who holds what.

A node asks rarely, for there are hundreds of nodes: a claim that was seen a while ago is taken on trust, the longer the
more often it was seen in a row. Whatever hints at a change ends all trust: see `doubt`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from partita_driver.engine.lost_journal.recall import Recalled
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound
from partita_plugins.kube.resources import RESOURCE_CLAIMS, RESOURCE_SLICES
from partita_plugins.pauses import Pause, spread
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice

TRUST = Pause(60.0, 600.0)
"""From one look at a prepared claim that is there to the next."""


def recall(api: KubeApi, node_name: str) -> Recalled:
    """What is known of a node whose journal begins anew. Raises Unavailable or Refused where that cannot be known."""
    selector = f"spec.driver={DRIVER_NAME},spec.nodeName={node_name}"
    slices, _ = api.list(RESOURCE_SLICES, as_=ResourceSlice, fieldSelector=selector)
    claims, _ = api.list(RESOURCE_CLAIMS, as_=ResourceClaim)
    devices = tuple(device for entry in slices for device in entry.spec.devices)
    return Recalled(devices=devices, claims=tuple(claims))


def other_drivers(api: KubeApi, node_name: str) -> tuple[str, ...]:
    """DRA drivers other than ours that publish slices of a node, sorted."""
    slices, _ = api.list(RESOURCE_SLICES, as_=ResourceSlice, fieldSelector=f"spec.nodeName={node_name}")
    return tuple(sorted({entry.spec.driver for entry in slices} - {DRIVER_NAME}))


@dataclass(frozen=True, slots=True)
class Sighting:
    """A claim was in the API, with devices of the pool."""

    times: int
    """In a row."""

    until: float
    """It is taken on trust until then."""


class ClaimsInApi:
    """Which claims hold devices of one node's pool, as the API server says or lately said. Thread-safe."""

    def __init__(self, api: KubeApi, node_name: str, runtime: Runtime = THREADS) -> None:
        self._api, self._pool, self._runtime = api, pool_name(node_name), runtime
        self._lock = runtime.lock()
        self._sightings: dict[str, Sighting] = {}

    def allocated(self) -> frozenset[str]:
        """Devices that any claim holds. Lists all claims: `slices/withdrawals.py` says when. Raises PartitaError."""
        return frozenset(device for devices in self._list().values() for device in devices)

    def holds(self, namespace: str, name: str, uid: str) -> bool:
        """Is this very claim in the API, with devices of the pool? Raises PartitaError where that is not known.

        One without a name, of which nothing but its UID is known, is looked for among all.
        """
        with self._lock:
            known = self._sightings.get(uid)
        if known and self._runtime.monotonic() < known.until:
            return True
        if not name:
            return uid in self._list()
        try:
            found = self._api.get(RESOURCE_CLAIMS, name, namespace, as_=ResourceClaim)
            there = found.metadata.uid == uid and bool(self._devices(found))
        except NotFound:
            there = False
        if there:
            self._saw([uid])
        return there

    def trust_only(self, claim_uids: Collection[str]) -> None:
        """Forget when any other claim was seen: it is asked for at its next turn."""
        with self._lock:
            self._sightings = {uid: seen for uid, seen in self._sightings.items() if uid in claim_uids}

    def doubt(self) -> None:
        """Something hints at a claim that is gone, such as hardware in the way of another: trust none."""
        self.trust_only(())

    def _list(self) -> dict[str, list[str]]:
        """The devices of all claims that have any of the pool, by UID."""
        claims, _ = self._api.list(RESOURCE_CLAIMS, as_=ResourceClaim)
        held = {claim.metadata.uid: devices for claim in claims if (devices := self._devices(claim))}
        self._saw(held)
        return held

    def _saw(self, claim_uids: Iterable[str]) -> None:
        now = self._runtime.monotonic()
        with self._lock:
            for uid in claim_uids:
                known = self._sightings.get(uid)
                times = known.times + 1 if known else 1
                self._sightings[uid] = Sighting(times, now + spread(TRUST.after(times), self._runtime.random))

    def _devices(self, claim: ResourceClaim) -> list[str]:
        results = claim.status.allocation.devices.results if claim.status.allocation else []
        return [one.device for one in results if one.driver == DRIVER_NAME and one.pool == self._pool]
