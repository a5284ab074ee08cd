"""Before the bind something is in the way for a while: the API server, another's hardware, the end of the process."""

from __future__ import annotations

from partita_driver.lifecycle import ClaimState
from tests.driver.edge.binding.world import World
from tests.waiting import eventually


def test_a_write_that_meets_another_is_made_again(world: World) -> None:
    world.server.faults.fail(409, method="PATCH", path="resourceclaims", times=2, reason="Conflict")
    world.start()
    world.allocate(world.node.whole(0))
    assert eventually(world.is_ready)


def test_an_api_server_that_is_away_for_a_while_delays_the_answer(world: World) -> None:
    world.server.faults.fail(503, method="PATCH", path="resourceclaims", times=3)
    world.start()
    world.allocate(world.node.whole(0))
    assert eventually(world.is_ready)
    assert world.held() == [world.node.whole(0)]


def test_hardware_that_is_free_in_a_moment_is_waited_for(world: World) -> None:
    world.start()
    first = world.allocate(world.node.whole(0), name="first")
    assert eventually(lambda: world.is_ready("first"))
    world.allocate(world.node.mig(0, "3g", 4), name="second")
    assert eventually(lambda: ("bind", "retry") in world.done)
    assert not world.failure("second")
    world.server.delete("ResourceClaim", "first", "default")
    assert eventually(lambda: world.is_ready("second"))
    assert world.state(first) is ClaimState.ABSENT


def test_hardware_that_does_not_get_free_is_given_up_without_a_taint(world: World) -> None:
    world.give_up_seconds = 0.5
    world.start()
    world.allocate(world.node.whole(0), name="first")
    assert eventually(lambda: world.is_ready("first"))
    world.allocate(world.node.mig(0, "3g", 4), name="second")
    assert eventually(lambda: "reason=NotReadyInTime" in world.failure("second"))
    assert world.node.engine.faults() == ()


def test_the_next_process_answers_what_the_one_before_did_not(world: World) -> None:
    world.server.faults.fail(503, method="PATCH", path="resourceclaims", times=-1)
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(lambda: world.state(made) is ClaimState.CHECKED)
    world.stop()
    world.server.faults.clear()
    world.node.start()
    world.start()
    assert eventually(world.is_ready)
    assert world.node.placements() == [(0, world.node.instances()[0][0].placement)]
