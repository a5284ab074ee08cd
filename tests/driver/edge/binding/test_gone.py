"""Before the bind a claim loses its allocation, or is deleted: what was made for it is undone, whenever that is."""

from __future__ import annotations

import msgspec
import pytest

from partita_driver.lifecycle import ClaimState
from partita_plugins.testing.scheduling import deallocate_claim
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.edge.binding.world import HeldUp, World, body
from tests.waiting import eventually


def test_a_claim_that_is_deallocated_before_its_prepare_is_undone(world: World) -> None:
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    deallocate_claim(world.server, made)
    assert eventually(lambda: not world.held())
    assert world.node.placements() == []


def test_a_claim_that_is_deleted_before_its_prepare_is_undone(world: World) -> None:
    world.start()
    world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    world.server.delete("ResourceClaim", "train", "default")
    assert eventually(lambda: not world.held())


def test_a_prepared_claim_that_vanishes_waits_for_its_unprepare(world: World) -> None:
    part = world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    world.prepare()
    deallocate_claim(world.server, made)
    assert eventually(lambda: not part._claims)
    assert eventually(lambda: part._queue.due_seconds == float("inf"))
    assert world.state(made) is ClaimState.PREPARED


def test_a_claim_that_goes_while_it_is_made_is_undone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    making = HeldUp(world.node, monkeypatch)
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    making.wait()
    deallocate_claim(world.server, made)
    making.go_on()
    assert eventually(lambda: not world.held())
    assert "devices" not in world.claim()["status"]


def test_an_allocation_anew_is_never_answered_by_word_on_the_one_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    making = HeldUp(world.node, monkeypatch)
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    making.wait()
    free = deallocate_claim(world.server, made)
    other = body(world.node.mig(0, "3g", 0))
    world.server.update({**free, "status": other["status"]}, subresource="status")
    making.go_on()
    assert eventually(world.is_ready)
    assert [entry["device"] for entry in world.claim()["status"]["devices"]] == [world.node.mig(0, "3g", 0)]
    assert world.held() == [world.node.mig(0, "3g", 0)]


@pytest.mark.parametrize("gone", ["deallocated", "deleted", "allocated anew"])
def test_what_was_made_for_an_allocation_that_is_gone_is_undone_before_the_watch_tells(world: World, gone: str) -> None:
    part, made = world.part(), world.allocate(world.node.whole(0))
    part.seen(None, msgspec.convert(world.claim(), ResourceClaim))
    if gone == "deleted":
        world.server.delete("ResourceClaim", "train", "default")
    else:
        free = deallocate_claim(world.server, made)
    if gone == "allocated anew":
        status = body(world.node.whole(0))["status"]
        status["allocation"]["allocationTimestamp"] = "2026-11-22T00:00:00Z"
        world.server.update({**free, "status": status}, subresource="status")
    part.step()
    assert world.held() == []
    assert [claim for claim in world.server.list("ResourceClaim").items if claim["status"].get("devices")] == []


def test_what_went_while_no_driver_ran_is_undone_by_upkeep(world: World) -> None:
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    world.stop()
    world.server.delete("ResourceClaim", "train", "default")
    world.node.start()
    assert world.state(made) is ClaimState.CHECKED
    world.node.engine.reconcile_claims(lambda *_: False, gone_seconds=300.0)
    assert world.held() == []
