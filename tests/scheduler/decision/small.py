"""Pools of a made-up driver, small enough to reason about by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from partita_plugins.wire.resource_claim import ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.in_use import PoolId, PoolUse
from partita_scheduler.allocator.inputs import gather_pools
from partita_scheduler.allocator.plan import ClaimPlan, plan_claim
from partita_scheduler.allocator.result import Budget
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.allocator.search import Search
from partita_scheduler.cluster.view import Node
from tests.scheduler.decision.fleet import device_class

DRIVER = "dev.example.com"
ANY = {"any": device_class("any", "true")}
NODE = msgspec.convert({"metadata": {"name": "n", "labels": {"zone": "a"}}}, Node)


def device(name: str, consumes: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    """A device; `consumes` takes from the counter set "s"."""
    counters = [{"counterSet": "s", "counters": {k: {"value": str(v)} for k, v in (consumes or {}).items()}}]
    return {"name": name, "consumesCounters": counters if consumes else [], **more}


def string(**attributes: str) -> dict[str, Any]:
    return {"attributes": {name: {"string": value} for name, value in attributes.items()}}


def slice_of(
    name: str, *devices: dict[str, Any], pool: str = "p", driver: str = DRIVER, count: int = 1, **spec: Any
) -> ResourceSlice:
    """A slice of the node "n", unless `spec` selects nodes otherwise."""
    generation = spec.pop("generation", 1)
    where = (
        {} if spec.keys() & {"nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"} else {"nodeName": "n"}
    )
    body = {
        "driver": driver,
        "pool": {"name": pool, "resourceSliceCount": count, "generation": generation},
        "devices": list(devices),
        **where,
        **spec,
    }
    return msgspec.convert({"metadata": {"name": name}, "spec": body}, ResourceSlice)


def counters(
    name: str = "z-counters", *, count: int = 2, pool: str = "p", driver: str = DRIVER, **totals: int
) -> ResourceSlice:
    sets = [{"name": "s", "counters": {k: {"value": str(v)} for k, v in totals.items()}}]
    return slice_of(name, pool=pool, driver=driver, count=count, sharedCounters=sets)


def request(name: str = "r", **exactly: Any) -> dict[str, Any]:
    return {"name": name, "exactly": {"deviceClassName": "any", **exactly}}


def claim(*requests: dict[str, Any], constraints: Iterable[dict[str, Any]] = (), name: str = "c") -> ResourceClaim:
    spec = {"devices": {"requests": list(requests), "constraints": list(constraints)}}
    return msgspec.convert(
        {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec}, ResourceClaim
    )


def plan(*requests: dict[str, Any], constraints: Iterable[dict[str, Any]] = ()) -> ClaimPlan:
    return plan_claim(claim(*requests, constraints=constraints), ANY)


def allocate(
    slices: Iterable[ResourceSlice],
    *plans: ClaimPlan,
    use: PoolUse | None = None,
    minor: int = 37,
    elsewhere: Iterable[ResourceSlice] = (),
    steps: int = 10_000,
) -> list[list[str]] | None:
    """Device names by claim, in the order of the results."""
    here, others = list(slices), list(elsewhere)
    everything = [*here, *others]
    pools = gather_pools(
        NODE,
        here,
        lambda key: (one for one in everything if (one.spec.driver, one.spec.pool.name) == key),
    )
    uses = {PoolId(DRIVER, "p"): use} if use else {}
    found = Search(pools, uses, plans, rules_for(minor), Budget(steps)).run()
    return None if found is None else [[pools[p.pool].devices[p.device].name for p in picks] for picks in found]
