"""An API server that says how long to wait before the next try."""

from __future__ import annotations

from dataclasses import replace

from partita_plugins.kube.errors import Unavailable
from tests.driver.edge.in_memory import H100, InMemory
from tests.driver.edge.worlds import MIXED, fault_on, inputs_of

DELAY_SECONDS = 7.0


def later() -> None:
    raise Unavailable("429: later", delay_seconds=DELAY_SECONDS)


def test_a_write_is_not_tried_again_before_the_server_wants_it() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    world.inputs = replace(world.inputs, faults=(fault_on(H100, 0),))
    world.api.disturb = later
    assert world.publisher.step() >= DELAY_SECONDS


def test_claims_are_not_listed_again_before_the_server_wants_it() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    world.begin()
    world.on_list = later
    world.publish()
    lists = world.lists
    world.clock.now += DELAY_SECONDS - 1
    world.publish()
    assert world.lists == lists
    world.clock.now += 1
    world.publish()
    assert world.lists == lists + 1
