"""Claims whose allocation reaches the API after the driver has listed what claims hold."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from partita_driver.slices.contents import Features
from partita_driver.slices.publisher import LOOK_SECONDS_MIN, WITHDRAW_SECONDS
from partita_driver.slices.withdrawals import HELD_SECONDS_MAX, START_SECONDS
from partita_plugins.kube.errors import Unavailable
from partita_plugins.model.offer import Offer
from partita_plugins.wire import FAULT_TAINT_KEY, WITHDRAWN_TAINT_KEY
from tests.driver.edge.in_memory import H100, InMemory
from tests.driver.edge.worlds import MIXED, fault_on, inputs_of, slotted, without_gpu

HOUR = 3600.0
SMALL = slotted("gb200-tray")
NARROW = inputs_of(H100, replace(MIXED, mig_shapes=frozenset()))


def a_partition(world: InMemory) -> str:
    return next(name for name in world.devices() if "-mig-" in name)


def no_answer() -> None:
    raise Unavailable("429: later")


def faulty(world: InMemory) -> set[str]:
    return {
        name for name, device in world.devices().items() if FAULT_TAINT_KEY in {taint.key for taint in device.taints}
    }


def test_a_fault_is_published_while_claims_cannot_be_listed() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    before = world.devices().keys()
    world.inputs = NARROW
    world.publish()
    world.on_list = no_answer
    world.pass_time(2 * WITHDRAW_SECONDS)
    world.inputs = replace(NARROW, faults=(fault_on(H100, 0),))
    world.publisher.step()
    assert faulty(world)
    assert world.devices().keys() == before, "nothing is removed before claims were listed"
    world.on_list = lambda: None
    world.pass_time(2 * WITHDRAW_SECONDS)
    assert not [name for name in world.devices() if "-mig-" in name]


def test_a_new_process_publishes_a_fault_before_it_has_listed_claims() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    before = world.devices().keys()
    world.inputs = replace(NARROW, faults=(fault_on(H100, 0),))
    world.begin()
    world.on_list = no_answer
    world.publish()
    assert faulty(world)
    assert world.devices().keys() == before
    assert not world.publisher.ready


def test_a_pool_that_is_not_complete_stays_so_until_claims_were_listed() -> None:
    """A device in a slice that was wiped may be allocated: what overlaps it must not be."""
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    before = world.devices().keys()
    world.wipe(every=False)
    left = world.devices()
    world.inputs = replace(world.inputs, faults=(fault_on(H100, 0),))
    world.begin()
    world.on_list = no_answer
    world.watch.deliver()
    world.clock.now += world.publisher.step()
    assert world.devices() == left
    world.on_list = lambda: None
    world.pass_time(60.0)
    assert world.devices().keys() == before


def test_an_allocation_decided_on_slices_that_were_wiped_is_found_once_it_must_be_visible() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    held = world.devices()[a_partition(world)]
    world.wipe()
    world.inputs = NARROW
    world.begin()
    world.publish()
    world.claims.add(held.name)
    world.pass_time(WITHDRAW_SECONDS)
    again = world.devices()[held.name]
    assert again.consumes_counters == held.consumes_counters
    assert [taint.key for taint in again.taints] == [WITHDRAWN_TAINT_KEY]


def test_claims_are_listed_twice_for_a_process_where_nothing_leaves() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.pass_time(100 * WITHDRAW_SECONDS)
    assert world.lists == 2


def test_a_claim_that_keeps_a_device_is_not_asked_for_in_every_round() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    world.claims.add(held := a_partition(world))
    world.inputs = NARROW
    world.pass_time(10 * WITHDRAW_SECONDS)
    assert held in world.devices()
    assert world.lists <= 8
    world.claims.clear()
    world.pass_time(HELD_SECONDS_MAX)
    assert held not in world.devices()


def held_for_an_hour(world: InMemory) -> int:
    """A partition is withdrawn that a claim holds, and no pod uses it. Returns how often claims were listed."""
    world.pass_time(2 * WITHDRAW_SECONDS)
    world.claims.add(a_partition(world))
    world.inputs = NARROW if world.inputs.features.counters else replace(NARROW, features=Features(counters=False))
    world.pass_time(HOUR)
    before = world.lists
    world.pass_time(HOUR)
    return world.lists - before


def test_a_claim_that_keeps_a_device_for_hours_is_asked_for_every_five_minutes() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    assert held_for_an_hour(world) <= HOUR / HELD_SECONDS_MAX + 1
    world.claims.clear()
    world.pass_time(HELD_SECONDS_MAX + 1.0)
    assert not [name for name in world.devices() if "-mig-" in name]


def test_where_partitions_have_no_counters_claims_are_not_listed_all_the_time_for_one_that_leaves() -> None:
    world = InMemory(
        replace(inputs_of(H100, Offer(whole=False, mig_shapes=frozenset({"1g"}))), features=Features(counters=False))
    )
    world.publisher._kept.features = world.publisher._kept._told = Features(counters=False)
    assert held_for_an_hour(world) <= HOUR / HELD_SECONDS_MAX + 3


def test_a_device_that_is_given_back_is_asked_for_at_once_and_soon_again() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    held_for_an_hour(world)
    [held] = world.claims
    world.inputs = replace(NARROW, allocated=frozenset({held}))
    world.publish()
    lists = world.lists
    world.inputs = NARROW
    world.publish()
    assert world.lists == lists + 1
    world.claims.clear()
    world.pass_time(WITHDRAW_SECONDS)
    assert held not in world.devices()


def test_an_unprepare_wakes_the_publisher_only_while_a_device_waits_to_be_removed() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.pass_time(2 * WITHDRAW_SECONDS)
    world.publisher.loop._due = math.inf
    world.publisher.released()
    assert world.publisher.loop._due == math.inf
    held_for_an_hour(world)
    world.publisher.loop._due = math.inf
    world.publisher.released()
    assert world.publisher.loop._due == world.clock.now


def test_drivers_that_find_their_slices_do_not_all_list_claims_at_once() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    lists = world.lists
    world.clock.random = lambda: 0.5
    world.begin()
    world.inputs = replace(world.inputs, faults=(fault_on(H100, 0),))
    pause = world.publish()
    assert (pause, world.lists) == (START_SECONDS / 2, lists)
    assert faulty(world), "a fault does not wait for it"
    assert not world.publisher.ready
    world.clock.now += pause
    world.publish()
    assert world.lists == lists + 1
    assert world.publisher.ready


def test_without_taints_an_allocation_decided_just_before_the_removal_is_found() -> None:
    world = InMemory(replace(inputs_of(H100, MIXED), features=Features(taints=False)))
    world.publish()
    held = a_partition(world)
    world.publisher._kept.features = Features(taints=False)
    world.inputs = NARROW
    world.pass_time(WITHDRAW_SECONDS)
    assert held not in world.devices()
    world.claims.add(held)
    world.pass_time(WITHDRAW_SECONDS)
    assert held in world.devices()


def test_an_allocation_that_comes_to_light_after_the_removal_brings_the_device_back() -> None:
    """Its claim tolerates all taints, or its pod waited for permission."""
    world = InMemory(inputs_of(H100, MIXED))
    world.pass_time(2 * WITHDRAW_SECONDS)
    held = world.devices()[a_partition(world)]
    world.inputs = NARROW
    world.pass_time(1.5 * WITHDRAW_SECONDS)
    assert held.name not in world.devices()
    world.claims.add(held.name)
    world.pass_time(WITHDRAW_SECONDS)
    again = world.devices()[held.name]
    assert again.consumes_counters == held.consumes_counters
    assert [taint.key for taint in again.taints] == [WITHDRAWN_TAINT_KEY]


def test_what_is_left_of_an_allocated_group_stays_taken_until_its_claim_is_gone() -> None:
    """Wiped slices, a new driver and a lost GPU: nothing can be published of the group, and nothing beside it."""
    world = InMemory(inputs_of(without_gpu(H100, 1), MIXED))
    left = f"gpu-{H100.gpus[0].pci_label}"
    world.claims.add("group-2-0-1")
    for _ in range(5):
        world.pass_time(WITHDRAW_SECONDS)
        assert not [name for name in world.devices() if name.startswith(left)]
    world.claims.clear()
    world.pass_time(2 * WITHDRAW_SECONDS)
    assert left in world.devices()


def test_slices_that_are_deleted_while_the_driver_writes_are_not_forgotten() -> None:
    """The watch tells of it after the last write, before the round has ended."""
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    held = a_partition(world)
    world.claims.add(held)
    world.pass_time(WITHDRAW_SECONDS)

    def wipe_what_is_complete() -> None:
        if {entry.spec.pool.generation for entry in world.store.slices.values()} == {2}:
            world.wipe()
            world.watch.deliver()

    world.inputs = NARROW
    world.api.disturb = wipe_what_is_complete
    world.publish()
    world.api.disturb = lambda: None
    world.publish()
    assert held in world.devices()


def test_a_slice_that_is_deleted_before_the_answer_to_its_write_came_is_written_again() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    before = world.devices()

    def wipe_what_was_written() -> None:
        if any(device.taints for device in world.devices().values()):
            world.wipe()
            world.watch.deliver()

    world.inputs = inputs_of(H100, MIXED, fault_on(H100, 0))
    world.api.disturb = wipe_what_was_written
    world.publisher.step()
    world.api.disturb = lambda: None
    world.publish()
    assert world.devices().keys() == before.keys()


@given(start=st.floats(0, 1e6), wait=st.floats(1, 60))
def test_a_moment_that_is_missed_by_the_last_bit_of_a_number_is_not_waited_for_in_circles(
    start: float, wait: float
) -> None:
    world = InMemory(inputs_of(SMALL, MIXED), wait_seconds=wait)
    world.clock.now = start
    world.publish()
    world.inputs = inputs_of(SMALL, Offer(shared=True))
    pauses = []
    for _ in range(6):
        pauses.append(world.publish())
        world.clock.now += pauses[-1]
    assert min(pauses) >= LOOK_SECONDS_MIN
