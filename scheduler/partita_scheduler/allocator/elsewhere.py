"""Pools of other nodes, as far as Kubernetes 1.36 lets them decide: it takes slices with counters for every node's.

Such a pool has no devices for another node, but while it is being changed or is invalid, no request for all devices is
allocated anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.in_use import PoolId

Slices = Mapping[str, tuple[ResourceSlice, ...]]
NO_COUNTERS: frozenset[str] = frozenset()

_looked_at: dict[str, tuple[tuple[ResourceSlice, ...], tuple[PoolId, ...]]] = {}
"""Node to its slices and which of its pools are not sound by these alone. Nodes change one at a time."""


def unsound_pool(slices: Slices) -> PoolId | None:
    """A pool with counters that is incomplete or invalid, wherever it is."""
    suspects: dict[PoolId, None] = {}
    for node, local in slices.items():
        known = _looked_at.get(node)
        if known is None or known[0] is not local:
            known = _looked_at[node] = (local, tuple(_unsound(local)))
        suspects |= dict.fromkeys(known[1])
    if len(_looked_at) > len(slices):
        for gone in [node for node in list(_looked_at) if node not in slices]:
            _looked_at.pop(gone, None)
    if not suspects:
        return None
    everywhere = [one for one in chain.from_iterable(slices.values()) if _pool(one) in suspects]
    return next(iter(_unsound(everywhere)), None)


def _unsound(slices: Iterable[ResourceSlice]) -> Iterable[PoolId]:
    pools: dict[PoolId, list[ResourceSlice]] = {}
    for one in slices:
        pools.setdefault(_pool(one), []).append(one)
    return [pool for pool, found in pools.items() if not _is_sound(found)]


def _is_sound(slices: list[ResourceSlice]) -> bool:
    counted = [one for one in slices if one.spec.shared_counters]
    if not counted:
        return True
    newest = max(counted, key=lambda one: one.spec.pool.generation).spec.pool
    if any(one.spec.pool.generation > newest.generation for one in slices):
        return True  # It is being replaced by a pool without counters, and left out meanwhile.
    current = [one for one in slices if one.spec.pool.generation == newest.generation]
    if len(current) != newest.resource_slice_count:
        return False
    sets = [counters for one in current for counters in one.spec.shared_counters]
    known = {counters.name: counters.counters.keys() for counters in sets}
    used = (used for one in current for device in one.spec.devices for used in device.consumes_counters)
    return len(known) == len(sets) and all(
        one.counters.keys() <= known.get(one.counter_set, NO_COUNTERS) for one in used
    )


def _pool(one: ResourceSlice) -> PoolId:
    return PoolId(one.spec.driver, one.spec.pool.name)
