"""What an allocated claim tells of its pod: the shape that a scorer knows it by. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from partita_plugins.contracts import PodShape
from partita_plugins.errors import PartitaError
from partita_plugins.model.quantity import to_mib
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource_claim import AllocationResult, ResourceClaim
from partita_scheduler.allocator.allocation import node_of
from partita_scheduler.allocator.inputs import InputDevice, InputPool
from partita_scheduler.allocator.nodes import node_pools
from partita_scheduler.allocator.plan import RequestPlan, plan_claim
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.policy.layout import Piece, layout
from partita_scheduler.policy.state import pod_shape

MAX_ASKED = 1_000
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
    return _allowed(_kinds(view), tuple(one for some in plan.requests for one in some if not one.admin))


@dataclass(frozen=True, slots=True, eq=False)
class _Kinds:
    """A device of each sort that the cluster's GPUs have, by product, while its slices stay the same."""

    slices: object
    devices: tuple[InputDevice, ...]
    allowed: dict[tuple[RequestPlan, ...], frozenset[str]] = field(default_factory=dict)


_known: list[_Kinds] = []


def _kinds(view: ClusterView) -> _Kinds:
    known = _known[0] if _known else None
    if known is None or known.slices is not view.slices or len(known.allowed) > MAX_ASKED:
        pools: dict[int, tuple[InputPool, ...]] = {}
        for node in view.nodes.values():
            offered = node_pools(view, node)
            if len(pools) < MAX_KINDS:
                pools.setdefault(offered.shape, offered.pools)
        devices = (device for some in pools.values() for pool in some for device in pool.devices)
        known = _Kinds(view.slices, tuple(device for device in devices if _product(device)))
        _known[:] = [known]
    return known


def _allowed(kinds: _Kinds, requests: tuple[RequestPlan, ...]) -> frozenset[str]:
    found = kinds.allowed.get(requests)
    if found is None:
        everything = {_product(device) for device in kinds.devices}
        allowed: set[str] = set()
        for device in kinds.devices:
            if _product(device) not in allowed and any(_selected(device, request) for request in requests):
                allowed.add(_product(device))
        found = kinds.allowed[requests] = frozenset(allowed) if len(allowed) < len(everything) else frozenset()
    return found


def _product(device: InputDevice) -> str:
    attribute = device.raw.attributes.get("product")
    return attribute.string or "" if attribute is not None else ""


def _selected(device: InputDevice, request: RequestPlan) -> bool:
    try:
        return device.selected_by(request)
    except PartitaError:
        return False
