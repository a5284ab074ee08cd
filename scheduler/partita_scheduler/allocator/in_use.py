"""What is allocated already: devices held whole, and what shares of a device have consumed, by pool.

Admin access does not count, as in kube-scheduler.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from partita_plugins.model.quantity import parsed
from partita_plugins.wire.resource_claim import Allocation, AllocationResult, ResourceClaim
from partita_scheduler.cluster.view import AssumedAllocation, ClusterView

EXTENDED_CLAIM_ANNOTATION = "resource.kubernetes.io/extended-resource-claim"
PREDICTED_SHARE = "predicted"
"""Share ID of a share that kube-scheduler has not made yet."""


class PoolId(NamedTuple):
    driver: str
    pool: str


@dataclass(frozen=True, slots=True)
class PoolUse:
    """What is in use of one pool. Nobody changes it after it was made."""

    whole: frozenset[str] = frozenset()
    """Devices held by one claim."""

    shares: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    """Device to what all its shares together have consumed."""

    counted: frozenset[str] = frozenset()
    """Devices in `shares` with at least one share that consumed capacity."""

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal use."""
        return (self.whole, tuple(sorted((name, tuple(sorted(used.items()))) for name, used in self.shares.items())))


NOTHING = PoolUse()
Uses = Mapping[PoolId, PoolUse]
ClaimKey = tuple[str, str]
Claims = Mapping[ClaimKey, ResourceClaim]


class Holdings:
    """What each holder has of each pool. A change costs what it touches, and nothing else."""

    def __init__(self) -> None:
        self.uses: dict[PoolId, PoolUse] = {}
        """By pool, without those of which nobody holds anything."""

        self._results: dict[PoolId, dict[Hashable, list[AllocationResult]]] = {}
        self._pools: dict[Hashable, tuple[PoolId, ...]] = {}

    def hold(self, holder: Hashable, allocation: Allocation | None) -> set[PoolId]:
        """The holder has this now, or nothing, instead of what it had; the pools whose use may be another."""
        before = self._pools.pop(holder, ())
        after = _by_pool([allocation]) if allocation else {}
        for pool in before:
            self._results[pool].pop(holder)
        for pool, results in after.items():
            self._results.setdefault(pool, {})[holder] = results
        if after:
            self._pools[holder] = tuple(after)
        touched = {*before, *after}
        for pool in touched:
            self._sum_up(pool)
        return touched

    def _sum_up(self, pool: PoolId) -> None:
        if held := self._results[pool]:
            self.uses[pool] = _add(NOTHING, [result for results in held.values() for result in results])
        else:
            # Nodes come and go, and their pools with them.
            del self._results[pool]
            self.uses.pop(pool, None)


class UseIndex:
    """What claims hold, by pool, kept from one snapshot of claims to the next: only changed claims cost anything."""

    def __init__(self) -> None:
        self._claims: Claims = {}
        self._holdings = Holdings()
        self._uses: Uses = {}
        self._lock = threading.Lock()

    def of(self, claims: Claims) -> Uses:
        """The use by all allocations in a snapshot. The answer is never changed afterwards."""
        with self._lock:
            if claims is not self._claims:
                self._move_to(claims)
            return self._uses

    def _move_to(self, claims: Claims) -> None:
        old = self._claims
        changed = [key for key, claim in claims.items() if old.get(key) is not claim]
        if len(old) + len(changed) != len(claims):
            changed += [key for key in old if key not in claims]
        touched: set[PoolId] = set()
        for key in changed:
            claim = claims.get(key)
            touched |= self._holdings.hold(key, claim.status.allocation if claim else None)
        if touched:
            self._uses = dict(self._holdings.uses)
        self._claims = claims


_index = UseIndex()


def in_use(view: ClusterView, pod_uid: str) -> Uses:
    """Everything in use for a pod: all allocations in the API and all assumed ones but its own."""
    known = _index.of(view.claims)
    others = [one for one in view.assumed.values() if one.pod_uid != pod_uid]
    if not others:
        return known
    owners = _owners_of_extended(view) if any(one.claim not in view.claims for one in others) else set()
    assumed = [one.allocation for one in others if is_pending(view, one, owners)]
    return {**known, **{pool: _add(known.get(pool, NOTHING), found) for pool, found in _by_pool(assumed).items()}}


def is_pending(view: ClusterView, assumed: AssumedAllocation, owners: Container[str]) -> bool:
    """Whether the API does not yet have the allocation that was assumed.

    `owners` are the pods for whose extended resources a claim is allocated.
    """
    claim = view.claims.get(assumed.claim)
    return claim.status.allocation is None if claim is not None else assumed.pod_uid not in owners


def _owners_of_extended(view: ClusterView) -> set[str]:
    return {uid for claim in view.claims.values() if claim.status.allocation for uid in extended_owners(claim)}


def extended_owners(claim: ResourceClaim) -> tuple[str, ...]:
    """UIDs of the pods for whose extended resources kube-scheduler made the claim; none for any other claim."""
    if claim.metadata.annotations.get(EXTENDED_CLAIM_ANNOTATION) != "true":
        return ()
    return tuple(owner.uid for owner in claim.metadata.owner_references)


def _by_pool(allocations: Iterable[Allocation]) -> dict[PoolId, list[AllocationResult]]:
    found: dict[PoolId, list[AllocationResult]] = {}
    for allocation in allocations:
        for result in allocation.devices.results:
            if not result.admin_access:
                found.setdefault(PoolId(result.driver, result.pool), []).append(result)
    return found


def _add(use: PoolUse, results: list[AllocationResult]) -> PoolUse:
    whole = {result.device for result in results if result.share_id is None}
    shares = {name: dict(used) for name, used in use.shares.items()}
    counted = set(use.counted)
    for result in results:
        if result.share_id is None:
            continue
        used = shares.setdefault(result.device, {})
        for name, value in result.consumed_capacity.items():
            counted.add(result.device)
            used[name] = used.get(name, Decimal(0)) + parsed(value)
    return PoolUse(use.whole | whole, shares, frozenset(counted))
