"""Pools of a node, kept while its slices stay the same, with a number that equal machines share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count

from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.in_use import PoolId
from partita_scheduler.allocator.inputs import InputPool, gather_pools
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.cluster.view import ClusterView, Node

Slices = Mapping[str, tuple[ResourceSlice, ...]]

MAX_CONTENTS = 1_000
"""Each some 100 KB."""

MAX_OWN_DEVICES = 20_000
"""Each some 600 bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class NodePools:
    """What one node offers."""

    pools: tuple[InputPool, ...]
    """Equal machines share one list of devices: it tells everything but their identity (IDENTITY_ATTRIBUTES)."""

    shape: int
    """Equal for nodes with equal content: the same search there has the same result."""

    serial: int
    """Of this value alone: another one after every change, also of what tells equal machines apart."""

    everything: Slices | None = None
    """All slices, where a pool of the node has, or may have, slices elsewhere."""


@dataclass(frozen=True, slots=True)
class _Kept:
    local: tuple[ResourceSlice, ...]
    common: tuple[ResourceSlice, ...]
    node: Node | None
    """Labels matter only where slices select nodes."""

    found: NodePools


_shapes = Numbers()
_serials = count(1)
_kept: dict[str, _Kept] = {}
"""By node name; nodes that are gone are dropped when others come."""

_contents: dict[int, InputPool] = {}
"""One pool of each shape, whose devices all others of it have too."""

_own: dict[int, tuple[InputPool, ...]] = {}
"""By serial, oldest first."""


def node_pools(view: ClusterView, node: Node) -> NodePools:
    """The node's pools; built anew only when its slices changed."""
    name = node.metadata.name
    local, common = view.slices.get(name, ()), view.slices.get("", ())
    kept = _kept.get(name)
    if (
        kept is not None
        and kept.local is local
        and kept.common is common
        and (kept.node is None or kept.node is node)
        and (kept.found.everything is None or kept.found.everything is view.slices)
    ):
        return kept.found
    pools, looked_elsewhere = _gather(view, node)
    # Names do not matter, but which pools have one name does: Kubernetes 1.36 mixes up their counters.
    names = [pool.id.pool for pool in pools]
    shape = _shapes.of(tuple((pool.shape, names.index(pool.id.pool)) for pool in pools))
    shared = tuple(_shared(pool) for pool in pools)
    found = NodePools(shared, shape, next(_serials), view.slices if looked_elsewhere else None)
    _kept[name] = _Kept(local, common, node if common else None, found)
    if len(_kept) > len(view.nodes):
        for gone in [one for one in list(_kept) if one not in view.nodes]:
            _kept.pop(gone, None)
    return found


def own_pools(view: ClusterView, node: Node) -> NodePools:
    """The same with the identity of the node's own devices, for what reads it: slower, and kept for few nodes."""
    offered = node_pools(view, node)
    found = _own.get(offered.serial)
    if found is None:
        while sum(len(pool.devices) for pools in list(_own.values()) for pool in pools) > MAX_OWN_DEVICES:
            _own.pop(next(iter(_own)), None)
        found = _own[offered.serial] = _gather(view, node)[0]
    return replace(offered, pools=found)


def _gather(view: ClusterView, node: Node) -> tuple[tuple[InputPool, ...], bool]:
    """The pools, and whether one of them is not complete on the node."""
    looked_elsewhere = []

    def slices_of_pool(key: PoolId) -> Iterable[ResourceSlice]:
        looked_elsewhere.append(key)
        slices = (one for some in view.slices.values() for one in some)
        return (one for one in slices if PoolId(one.spec.driver, one.spec.pool.name) == key)

    slices = (*view.slices.get(node.metadata.name, ()), *view.slices.get("", ()))
    return gather_pools(node, slices, slices_of_pool), bool(looked_elsewhere)


def _shared(pool: InputPool) -> InputPool:
    """The pool with the devices of an equal one: a fleet has few kinds of machines, and each is 100 KB."""
    if not all(device.slice_.spec.node_name for device in pool.devices):
        return pool  # Where a device may be reached from is not part of its content.
    if len(_contents) >= MAX_CONTENTS:
        _contents.clear()
    first = _contents.setdefault(pool.shape, pool)
    return replace(pool, devices=first.devices, totals=first.totals, consumers=first.consumers)
