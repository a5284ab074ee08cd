"""Before the bind, part by part: which devices let kube-scheduler wait, when claims are watched, whose turn it is."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_driver.binding.queue import DueQueue
from partita_driver.binding.watch import ClaimWatch
from partita_driver.moments import Moment
from partita_driver.runtime import Threads
from partita_driver.settings.parse import parse_settings
from partita_driver.slices.contents import Features
from partita_driver.slices.pool import PoolInputs, Published, desired_pool
from partita_plugins.kube.reflector import Listener
from partita_plugins.model.offer import Offer
from partita_plugins.wire import VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_plugins.wire.resource_slice import Device
from tests.driver.edge.worlds import ALL_SHAPES, NODE, pooled, slotted
from tests.waiting import eventually

EVERYTHING = Offer(whole=True, mig_shapes=ALL_SHAPES, shared=True, group_sizes=frozenset({2}), monitor=True)


def devices(**fields: object) -> list[Device]:
    inputs = PoolInputs(node_name=NODE, node=slotted(), offer=EVERYTHING, **fields)  # type: ignore[arg-type]
    return [device for content in desired_pool(inputs, Published(), frozenset()) for device in content.devices]


def kind(device: Device) -> str | None:
    return device.attributes["type"].string


def test_every_device_but_the_monitor_lets_kube_scheduler_wait() -> None:
    found = devices(binding=True)
    assert {kind(device) for device in found} == {"gpu", "mig", "shared", "group", "monitor"}
    for device in found:
        waits = kind(device) != "monitor"
        assert device.binding_conditions == ([VALIDATED_CONDITION] if waits else [])
        assert device.binding_failure_conditions == ([VALIDATION_FAILED_CONDITION] if waits else [])


def test_nothing_lets_it_wait_unless_asked_to_or_where_the_api_server_drops_it() -> None:
    assert devices() == devices(binding=True, features=Features(conditions=False))
    assert not any(device.binding_conditions for device in devices())


def test_switching_it_on_changes_nothing_else() -> None:
    """What an allocated device consumes never changes."""
    before, after = devices(), devices(binding=True)
    assert [(one.name, one.consumes_counters, one.attributes) for one in before] == [
        (one.name, one.consumes_counters, one.attributes) for one in after
    ]


def test_a_publisher_tells_that_claims_may_be_allocated_by_what_slices_said(tmp_path: Path) -> None:
    def told() -> bool:
        publisher.step()
        return publisher.binding

    with pooled(tmp_path, slotted("l40s-x8")) as world:
        publisher = world.publisher_of(30.0)
        publisher._watch.start()
        assert eventually(lambda: publisher._watch.synced)
        assert not told()
        world.inputs = PoolInputs(node_name=NODE, node=world.inputs.node, offer=world.inputs.offer, binding=True)
        assert told()
        world.inputs = PoolInputs(node_name=NODE, node=world.inputs.node, offer=world.inputs.offer)
        assert told()
        assert not told()
        publisher.stop()


def test_the_settings_say_whether_and_no_setting_lets_it_pass_unseen() -> None:
    settings = parse_settings("nodes: [{validation: {prepare: false, bind: true}}]").for_labels({})
    assert settings.validation.bind
    assert settings.validation.at(Moment.BIND)
    assert not parse_settings("nodes: [{}]").for_labels({}).validation.bind


class Clock(Threads):
    """Time stands still until a test moves it."""

    now = 100.0

    def __init__(self) -> None:
        self.monotonic = lambda: self.now


class Watched:
    """A watch that notes whether it runs."""

    def __init__(self, running: list[Watched]) -> None:
        self._running = running

    def start(self) -> None:
        self._running.append(self)

    def stop(self) -> None:
        self._running.remove(self)


class Watching:
    """A claim watch whose steps a test takes."""

    def __init__(self) -> None:
        self.clock, self.running, self.idle = Clock(), list[Watched](), True
        self.watch = ClaimWatch(
            self._begin, lambda _old, _new: None, lambda: self.idle, linger_seconds=60.0, runtime=self.clock
        )

    def _begin(self, _seen: Listener[ResourceClaim]) -> Watched:
        return Watched(self.running)

    def after(self, seconds: float, *, binding: bool | None = None) -> int:
        """How many watches run once so much time has passed."""
        self.clock.now += seconds
        if binding is not None:
            self.watch.published(binding=binding)
        self.watch.step()
        return len(self.running)


def test_claims_are_watched_while_devices_have_conditions_and_a_while_longer() -> None:
    world = Watching()
    assert world.after(0) == 0
    assert world.after(0, binding=False) == 0
    assert world.after(0, binding=True) == 1
    assert world.after(3600, binding=True) == 1
    assert world.after(0, binding=False) == 1
    assert world.after(59) == 1
    assert world.after(2) == 0
    assert world.after(0, binding=True) == 1


def test_a_claim_that_waits_is_not_left_alone() -> None:
    world = Watching()
    world.after(0, binding=True)
    world.idle = False
    assert world.after(0, binding=False) == 1
    assert world.after(600) == 1
    world.idle = True
    assert world.after(0) == 0


def test_a_key_is_with_one_taker_at_a_time_and_comes_again_when_it_was_named_meanwhile() -> None:
    queue = DueQueue()
    queue.put("a")
    assert queue.take() == "a"
    queue.put("a")
    assert queue.take() is None
    assert queue.due_seconds == math.inf
    queue.done("a")
    assert queue.take() == "a"


def test_no_turn_comes_before_its_time_or_later_than_the_soonest_that_was_named() -> None:
    clock = Clock()
    queue = DueQueue(clock)
    queue.put("a", 5.0)
    queue.put("b", 9.0)
    queue.put("b", 1.0)
    queue.put("b", 9.0)
    assert queue.take() is None
    assert queue.due_seconds == pytest.approx(1.0)
    clock.now += 1.0
    assert (queue.take(), queue.take()) == ("b", None)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "take", "done"]))))
def test_whatever_is_named_gets_a_turn_after_it_was_named(steps: list[tuple[str, str]]) -> None:
    queue, named, taken = DueQueue(), set[str](), set[str]()
    for key, step in steps:
        if step == "put":
            queue.put(key)
            named.add(key)
        elif step == "done":
            queue.done(key)
            taken.discard(key)
        elif found := queue.take():
            assert found in named - taken
            named.discard(found)
            taken.add(found)
    for key in taken:
        queue.done(key)
    while found := queue.take():
        named.discard(found)
        queue.done(found)
    assert named == set()
