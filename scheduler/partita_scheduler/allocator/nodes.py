"""Pools of a node, kept while its slices stay the same, with a number that equal machines share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from partita_plugins.wire.resource import ResourceSlice
from partita_scheduler.allocator.in_use import PoolId
from partita_scheduler.allocator.inputs import InputPool, gather_pools
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.view import ClusterView, Node

Slices = Mapping[str, tuple[ResourceSlice, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class NodePools:
    """What one node offers."""

    pools: tuple[InputPool, ...]
    shape: int
    """Equal for nodes with equal content: the same search there has the same result."""

    serial: int
    """Of this value alone: another one after every change, also of what tells equal machines apart."""


@dataclass(frozen=True, slots=True)
class _Kept:
    local: tuple[ResourceSlice, ...]
    common: tuple[ResourceSlice, ...]
    node: Node | None
    """Labels matter only where slices select nodes."""

    everything: Slices | None
    """All slices, where a pool of the node has slices elsewhere."""

    found: NodePools


_shapes = Numbers()
_serials = count(1)
_kept: dict[str, _Kept] = {}
"""By node name; nodes that are gone are dropped when others come."""


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
        and (kept.everything is None or kept.everything is view.slices)
    ):
        return kept.found
    looked_elsewhere = []

    def slices_of_pool(key: PoolId) -> Iterable[ResourceSlice]:
        looked_elsewhere.append(key)
        slices = (one for some in view.slices.values() for one in some)
        return (one for one in slices if PoolId(one.spec.driver, one.spec.pool.name) == key)

    pools = gather_pools(node, (*local, *common), slices_of_pool)
    # Names do not matter, but which pools have one name does: Kubernetes 1.36 mixes up their counters.
    names = [pool.id.pool for pool in pools]
    shape = _shapes.of(tuple((pool.shape, names.index(pool.id.pool)) for pool in pools))
    found = NodePools(pools, shape, next(_serials))
    everything = view.slices if looked_elsewhere else None
    _kept[name] = _Kept(local, common, node if common else None, everything, found)
    if len(_kept) > len(view.nodes):
        for gone in [one for one in list(_kept) if one not in view.nodes]:
            _kept.pop(gone, None)
    return found
