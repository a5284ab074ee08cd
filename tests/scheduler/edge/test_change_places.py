"""What is assumed for a pod when another one is seen to have just that."""

from __future__ import annotations

import msgspec

from partita_plugins.wire.resource_claim import Allocation, DeviceAllocation
from partita_scheduler.allocator.allocation import devices_of
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.policy.decision import Decision
from partita_scheduler.policy.row import Verdict
from tests.scheduler.edge.fakes import World, make_allocation, make_claim, make_pod

FIRST, SECOND, THIRD = (make_allocation("b", f"gpu-{number}") for number in range(3))


def expect(world: World, name: str, node: str, *allocations: Allocation) -> None:
    """Assume, for a pod with claims "<name>-0", "<name>-1" and so on, these allocations."""
    wishes = {f"{name}-{number}": one for number, one in enumerate(allocations)}
    view = ClusterView(claims={("default", wish): make_claim(wish) for wish in wishes})
    decision = Decision(verdicts={node: Verdict(node=node, allocations=wishes)}, order=(node,))
    world.assumptions.assume(view, make_pod(name), node, decision)


def gets(world: World, wish: str, allocation: Allocation) -> None:
    world.assumptions.claim_changed(make_claim(wish), make_claim(wish, allocation=allocation))


def assumed(world: World) -> dict[str, tuple[str, ...]]:
    """Devices by claim UID, as the assumptions say and have told."""
    active = world.assumptions.active()
    assert world.told == active
    return {key: devices_of(one.allocation) for key, one in active.items()}


def test_a_pod_whose_devices_another_one_got_is_assumed_to_have_those_of_the_other() -> None:
    world = World()
    for name, allocation in (("one", FIRST), ("two", SECOND), ("three", THIRD)):
        expect(world, name, "b", allocation)
    gets(world, "one-0", SECOND)
    assert assumed(world) == {"uid-two-0": devices_of(FIRST), "uid-three-0": devices_of(THIRD)}
    gets(world, "two-0", THIRD)
    assert assumed(world) == {"uid-three-0": devices_of(FIRST)}


def test_what_was_foretold_counts_whatever_has_been_assumed_since() -> None:
    world = World()
    expect(world, "one", "b", FIRST)
    expect(world, "two", "b", SECOND)
    gets(world, "one-0", SECOND)
    gets(world, "two-0", FIRST)
    assert world.counted("prediction_total", result="mismatch") == 2
    assert [found.predicted for found in world.assumptions.predictions()] == [devices_of(FIRST), devices_of(SECOND)]


def test_of_a_pod_that_is_still_waited_for_what_was_foretold_is_told() -> None:
    world = World()
    expect(world, "one", "b", FIRST)
    expect(world, "two", "b", SECOND)
    gets(world, "one-0", SECOND)
    _, waiting = world.assumptions.predictions()
    assert (waiting.pod, waiting.predicted, waiting.result) == ("default/two", devices_of(SECOND), "pending")


def test_of_a_pods_claims_the_one_whose_devices_are_gone_is_moved() -> None:
    world = World()
    expect(world, "one", "b", FIRST)
    expect(world, "two", "b", THIRD, SECOND)
    gets(world, "one-0", SECOND)
    assert assumed(world) == {"uid-two-0": devices_of(THIRD), "uid-two-1": devices_of(FIRST)}


def test_what_others_may_have_too_is_assumed_as_before() -> None:
    """Shares of a GPU, and monitors; and what was taken instead of another node's devices."""
    for changes in ({"share_id": "s"}, {"admin_access": True}):
        world = World()
        expect(world, "one", "b", FIRST)
        expect(world, "two", "b", SECOND)
        (result,) = SECOND.devices.results
        same = DeviceAllocation(results=[msgspec.structs.replace(result, **changes)])
        gets(world, "one-0", msgspec.structs.replace(SECOND, devices=same))
        assert assumed(world) == {"uid-two-0": devices_of(SECOND)}
    world = World()
    expect(world, "one", "a", make_allocation("a", "gpu-0"))
    expect(world, "two", "b", SECOND)
    gets(world, "one-0", SECOND)
    assert assumed(world) == {"uid-two-0": devices_of(SECOND)}
