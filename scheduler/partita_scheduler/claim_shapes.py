"""What an allocated claim tells of its pod: the shape that a scorer knows it by. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from partita_plugins.contracts import PodShape
from partita_plugins.errors import PartitaError
from partita_plugins.model.quantity import to_mib
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource import AllocationResult, ResourceClaim
from partita_scheduler.allocator.inputs import InputDevice, InputPool
from partita_scheduler.allocator.nodes import Slices, node_pools
from partita_scheduler.allocator.plan import RequestPlan, plan_claim
from partita_scheduler.assume import node_of
from partita_scheduler.policy_layout import Piece, layout
from partita_scheduler.policy_state import pod_shape
from partita_scheduler.view import ClusterView

MAX_KINDS = 200
"""Kinds of nodes that are looked at for the products that a claim may have."""

MAX_REMEMBERED = 1_000


def shape_of(view: ClusterView, claim: ResourceClaim, cpu_milli: int = 0) -> PodShape | None:
    """The shape of a pod with this claim and so much CPU; None where it has nothing of ours, or its node is gone."""
    allocation = claim.status.allocation
    node = view.nodes.get(node_of(allocation)) if allocation else None
    if allocation is None or node is None:
        return None
    pools = {pool.id.pool: pool for pool in node_pools(view, node).pools if pool.id.driver == DRIVER_NAME}
    held = [one for one in allocation.devices.results if one.driver == DRIVER_NAME and not one.admin_access]
    taken = [found for one in held if (found := _taken(pools.get(one.pool), one))]
    return pod_shape(taken, cpu_milli=cpu_milli, products=products_of(view, claim)) if taken else None


def _taken(pool: InputPool | None, result: AllocationResult) -> tuple[Piece, int | None] | None:
    found = layout(pool) if pool else None
    index = found.by_name.get(result.device) if found else None
    piece = found.pieces[index] if found and index is not None else None
    if piece is None or not piece.units:
        return None
    memory = result.consumed_capacity.get("memory")
    return piece, to_mib(memory) if memory is not None else None


def products_of(view: ClusterView, claim: ResourceClaim) -> frozenset[str]:
    """GPUs that the claim could have been given; empty if any of the cluster's."""
    try:
        plan = plan_claim(claim, view.classes)
    except PartitaError:
        return frozenset()
    requests = [one for alternatives in plan.requests for one in alternatives if not one.admin]
    kinds = _kinds_of(view)
    asked = tuple(one.selectors for one in requests)
    found = kinds.products.get(asked)
    if found is None:
        if len(kinds.products) >= MAX_REMEMBERED:
            kinds.products.clear()
        found = kinds.products[asked] = _products(kinds, requests)
    return found


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The kinds of nodes among the slices of one moment, and what was found about them."""

    slices: Slices
    pools: tuple[tuple[InputPool, ...], ...]
    products: dict[Hashable, frozenset[str]] = field(default_factory=dict)


_kinds: list[_Kinds] = []
"""The latest; slices are the same object until one of them changes."""


def _kinds_of(view: ClusterView) -> _Kinds:
    latest = next(iter(_kinds), None)
    if latest is None or latest.slices is not view.slices:
        pools: dict[int, tuple[InputPool, ...]] = {}
        for node in view.nodes.values():
            offered = node_pools(view, node)
            if offered.shape not in pools and len(pools) < MAX_KINDS:
                pools[offered.shape] = offered.pools
        latest = _Kinds(view.slices, tuple(pools.values()))
        _kinds[:] = [latest]
    return latest


def _products(kinds: _Kinds, requests: Sequence[RequestPlan]) -> frozenset[str]:
    found: dict[str, bool] = {}
    for device in (device for pools in kinds.pools for pool in pools for device in pool.devices):
        product = device.raw.attributes.get("product")
        if product is not None and product.string and not found.get(product.string):
            found[product.string] = any(_selected(device, request) for request in requests)
    allowed = frozenset(product for product, selected in found.items() if selected)
    return allowed if len(allowed) < len(found) else frozenset()


def _selected(device: InputDevice, request: RequestPlan) -> bool:
    try:
        return device.selected_by(request)
    except PartitaError:
        return False
