"""What is allocated already: devices held whole, and what shares of a device have consumed, by pool.

Admin access does not count, as in kube-scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from partita_plugins.model.quantity import parse_quantity
from partita_plugins.wire.resource import Allocation, AllocationResult, ResourceClaim
from partita_scheduler.view import ClusterView

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

_seen: dict[int, tuple[Mapping[tuple[str, str], ResourceClaim], Uses]] = {}


def in_use(view: ClusterView, pod_uid: str) -> Uses:
    """Everything in use for a pod: all allocations in the API and all assumed ones but its own."""
    known = _seen.get(id(view.claims))
    if known is None or known[0] is not view.claims:
        known = (view.claims, _collect(_allocations(view.claims), {}))
        if len(_seen) >= 4:
            _seen.clear()
        _seen[id(view.claims)] = known
    assumed = [one.allocation for key, one in view.assumed.items() if one.pod_uid != pod_uid and _pending(view, key)]
    return _collect(assumed, known[1]) if assumed else known[1]


def _pending(view: ClusterView, key: str) -> bool:
    """Whether the API does not yet have the allocation that was assumed."""
    assumed = view.assumed[key]
    claim = view.claims.get(assumed.claim)
    if claim is not None:
        return claim.status.allocation is None
    return assumed.pod_uid not in _owners_of_extended(view)


def _owners_of_extended(view: ClusterView) -> set[str]:
    return {
        owner.uid
        for claim in view.claims.values()
        if claim.status.allocation and claim.metadata.annotations.get(EXTENDED_CLAIM_ANNOTATION) == "true"
        for owner in claim.metadata.owner_references
    }


def _allocations(claims: Mapping[tuple[str, str], ResourceClaim]) -> Iterable[Allocation]:
    return (claim.status.allocation for claim in claims.values() if claim.status.allocation is not None)


def _collect(allocations: Iterable[Allocation], base: Uses) -> Uses:
    results: dict[PoolId, list[AllocationResult]] = {}
    for allocation in allocations:
        for result in allocation.devices.results:
            if not result.admin_access:
                results.setdefault(PoolId(result.driver, result.pool), []).append(result)
    return {**base, **{pool: _add(base.get(pool, NOTHING), found) for pool, found in results.items()}}


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
            used[name] = used.get(name, Decimal(0)) + _quantity(value)
    return PoolUse(use.whole | whole, shares, frozenset(counted))


_quantity = lru_cache(maxsize=4096)(parse_quantity)
