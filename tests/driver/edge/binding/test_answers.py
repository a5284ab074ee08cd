"""Between kube-scheduler's allocation and its bind: conditions are set, or the node is taken out of the pod's way."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from partita_driver.lifecycle import ClaimState
from partita_plugins.testing.scheduling import deallocate_claim
from partita_plugins.wire import pool_name
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.edge.binding.world import World, body, broken
from tests.driver.engine.nodes import time_slice_config
from tests.waiting import WAIT_SECONDS, eventually


def test_a_validated_claim_may_be_bound_and_prepare_finds_it_ready(world: World) -> None:
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    assert world.state(made) is ClaimState.CHECKED
    [told] = world.claim()["status"]["devices"]
    assert told["data"]["validation"]["depth"] == "full"
    world.prepare()
    assert world.done == [("bind", "ok")]


def test_what_the_claim_says_of_sharing_is_no_hindrance(world: World) -> None:
    world.start()
    wanted = body(world.node.shared(0), shareID="00000000-0000-4000-8000-000000000001")
    wanted["status"]["allocation"]["devices"]["config"] = time_slice_config("Short")
    made = world.server.create(wanted)
    world.server.update({**made, "status": wanted["status"]}, subresource="status")
    assert eventually(world.is_ready)
    assert world.node.time_slice(0) == "Short"


def test_a_claim_that_was_allocated_before_the_watch_began_is_served(world: World) -> None:
    world.allocate(world.node.whole(0))
    world.start()
    assert eventually(world.is_ready)


def test_claims_of_other_nodes_and_without_conditions_are_left_alone(world: World) -> None:
    world.start()
    world.allocate(world.node.whole(0), name="elsewhere", pool=pool_name("node-b"))
    world.allocate(world.node.whole(1), name="unbound", bindingConditions=[], bindingFailureConditions=[])
    world.allocate(world.node.whole(2))
    assert eventually(world.is_ready)
    assert world.held() == [world.node.whole(2)]


def test_claims_on_several_gpus_are_served_side_by_side(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(4)
    prepare_ahead = world.node.engine.prepare_ahead

    def meet(claim: ResourceClaim) -> Any:
        together.wait(WAIT_SECONDS)
        return prepare_ahead(claim)

    monkeypatch.setattr(world.node.engine, "prepare_ahead", meet)
    world.start()
    for slot in range(4):
        world.allocate(world.node.whole(slot), name=f"c{slot}")
    assert eventually(lambda: all(world.is_ready(f"c{slot}") for slot in range(4)))


def test_a_failure_says_what_was_found_after_the_taint_and_leaves_nothing(world: World) -> None:
    with broken(world.node, 3):
        world.start()
        made = world.allocate(world.node.whole(3))
        assert eventually(lambda: bool(world.failure()))
        assert "reason=ValidationFailed" in world.failure()
        assert "bit 7" in world.failure()
        assert "delete the pod" not in world.failure()
        assert world.taints == [1]
        assert world.state(made) is ClaimState.ABSENT
        [said] = world.failures
        assert "kube-scheduler takes other devices" in said
        deallocate_claim(world.server, made)
        assert not world.is_ready() or "devices" not in world.claim()["status"]


def test_nobody_is_told_of_a_failure_before_the_taint_is_there(world: World) -> None:
    world.tainting = False
    with broken(world.node, 3):
        world.start()
        world.allocate(world.node.whole(3))
        assert eventually(lambda: len(world.taints) > 1)
        assert not world.failure()
        world.tainting = True
        assert eventually(lambda: bool(world.failure()))


def test_one_broken_device_of_several_is_told_on_all(world: World) -> None:
    """kube-scheduler reads no device behind one that it still waits for."""
    with broken(world.node, 3):
        world.start()
        world.allocate(world.node.whole(2), world.node.whole(3))
        assert eventually(lambda: bool(world.failure()))
        assert world.held() == []


def test_what_cannot_be_made_is_told_at_once(world: World) -> None:
    world.start()
    world.allocate("gpu-0000-00-00-0")
    assert eventually(lambda: "reason=InvalidClaim" in world.failure())
