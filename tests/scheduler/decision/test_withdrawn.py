"""Devices of a machine that was exchanged while a claim held them."""

from __future__ import annotations

import msgspec

from partita_plugins.model.offer import Offer
from partita_plugins.wire import DRIVER_NAME, WITHDRAWN_TAINT_KEY
from partita_plugins.wire.objects import ObjectMeta, Taint
from partita_plugins.wire.resource_slice import CounterValue, Device, Pool, ResourceSlice, ResourceSliceSpec
from partita_scheduler.allocator.nodes import node_pools
from partita_scheduler.policy.decision import decide
from partita_scheduler.policy.layout import layout
from tests.scheduler.decision.fleet import (
    claim,
    exactly,
    pod,
    slices,
    view,
)

WHOLE = Offer()


def test_links_of_withdrawn_gpus_are_not_those_of_their_slots_new_owners() -> None:
    withdrawn = Taint(key=WITHDRAWN_TAINT_KEY)
    old = slices("a", "hgx-h100", WHOLE, taints=dict.fromkeys(range(8), withdrawn))
    new = slices("a", "rtx-pro-6000-x8", WHOLE)[1]
    grown = Pool(name=old[0].spec.pool.name, resource_slice_count=len(old) + 1)
    renamed = msgspec.structs.replace(new, metadata=ObjectMeta(name="99-a"))
    pool = tuple(
        msgspec.structs.replace(one, spec=msgspec.structs.replace(one.spec, pool=grown)) for one in (*old, renamed)
    )
    for machines in ({"a": pool}, {"a": (renamed_first(pool))}):
        found = decide(view(machines, claim("c", exactly(count=2))), pod("c"), ["a"])
        assert found.verdicts["a"].explanation.startswith("takes GPUs 6 and 7 over PCIe")


def renamed_first(pool: tuple[ResourceSlice, ...]) -> tuple[ResourceSlice, ...]:
    """The same pool, its last slice first by name."""
    *others, last = pool
    return (msgspec.structs.replace(last, metadata=ObjectMeta(name="!")), *others)


def exchanged_machine() -> tuple[ResourceSlice, ...]:
    """Four A30 where H100 were, and one partition of an H100 that a claim still holds, with its counters."""
    withdrawn = Taint(key=WITHDRAWN_TAINT_KEY)
    old = [device for one in slices("a", "hgx-h100") for device in one.spec.devices]
    held = next(device for device in old if "g0p3" in counters_of(device) and "-mig-1g-" in device.name)
    counted, *rest = slices("a", "a30-x4")
    pool = Pool(name=counted.spec.pool.name, resource_slice_count=len(rest) + 2)
    (totals,) = counted.spec.shared_counters
    united = msgspec.structs.replace(totals, counters={**totals.counters, "g0p3": CounterValue(value="2")})
    kept = ResourceSliceSpec(
        driver=DRIVER_NAME, pool=pool, node_name="a", devices=[msgspec.structs.replace(held, taints=[withdrawn])]
    )
    specs = [msgspec.structs.replace(counted.spec, shared_counters=[united]), *(one.spec for one in rest), kept]
    return tuple(
        ResourceSlice(metadata=ObjectMeta(name=f"{i}"), spec=msgspec.structs.replace(spec, pool=pool))
        for i, spec in enumerate(specs)
    )


def counters_of(device: Device) -> set[str]:
    return {name for one in device.consumes_counters for name in one.counters}


def test_a_withdrawn_device_of_the_machine_before_does_not_change_the_gpu_that_has_its_slot_now() -> None:
    seen = view({"new": slices("new", "a30-x4"), "a": exchanged_machine()})
    new, mixed = (layout(node_pools(seen, seen.nodes[name]).pools[0]) for name in ("new", "a"))
    assert new is not None
    assert mixed is not None
    assert mixed.gpus == new.gpus


def test_a_claim_that_tolerates_everything_may_get_a_gpu_that_is_gone() -> None:
    machines = {"a": slices("a", "hgx-h100", WHOLE, taints={0: Taint(key=WITHDRAWN_TAINT_KEY)})}
    asked = claim("c", exactly(count=8, tolerations=[{"operator": "Exists"}]))
    assert decide(view(machines, asked), pod("c"), ["a"]).order == ("a",)
