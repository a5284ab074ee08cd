"""The publisher against an API server that speaks HTTP."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from partita_driver.slices.publisher import WITHDRAW_SECONDS
from partita_driver.slices.withdrawals import HELD_SECONDS_MAX
from partita_plugins.model.offer import Offer
from partita_plugins.testing.apiserver import Fault as HttpFault
from partita_plugins.wire import FAULT_TAINT_KEY, WITHDRAWN_TAINT_KEY, pool_name
from tests.driver.edge.in_memory import InMemory
from tests.driver.edge.worlds import MIXED, NODE, fault_on, inputs_of, pooled, slotted
from tests.waiting import WAIT_SECONDS, eventually

H100 = slotted("hgx-h100")


def test_the_pool_appears_complete_and_owned_by_the_node(tmp_path: Path) -> None:
    with pooled(tmp_path, H100) as world:
        assert world.publisher().publish_now(WAIT_SECONDS)
        slices = world.slices()
        assert {entry.spec.pool.name for entry in slices} == {pool_name(NODE)}
        assert {entry.spec.pool.resource_slice_count for entry in slices} == {len(slices)}
        assert {entry.spec.node_name for entry in slices} == {NODE}
        owner = slices[0].metadata.owner_references[0]
        assert (owner.kind, owner.name, owner.controller) == ("Node", NODE, True)
        assert slices[0].spec.shared_counters
        assert not slices[0].spec.devices
        assert world.generations() == {1}


def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    with pooled(tmp_path, H100) as world:
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        versions = [entry.metadata.resource_version for entry in world.slices()]
        assert publisher.publish_now(WAIT_SECONDS)
        assert [entry.metadata.resource_version for entry in world.slices()] == versions
        assert world.counted.rounds == ["ok"]


def test_a_new_process_finds_the_pool_and_writes_nothing(tmp_path: Path) -> None:
    with pooled(tmp_path, H100) as world:
        first = world.publisher()
        assert first.publish_now(WAIT_SECONDS)
        first.stop()
        assert world.publisher().publish_now(WAIT_SECONDS)
        assert world.counted.rounds == ["ok"]


def test_a_change_in_one_slice_is_made_in_place(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, Offer(whole=True)) as world:
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        world.inputs = replace(world.inputs, faults=(fault_on(H100, 2),))
        assert publisher.publish_now(WAIT_SECONDS)
        assert world.generations() == {1}
        [tainted] = [device for device in world.devices().values() if device.taints]
        assert tainted.taints[0].key == FAULT_TAINT_KEY
        assert tainted.taints[0].time_added


def test_a_change_in_several_slices_makes_a_new_generation(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, MIXED) as world:
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        world.inputs = replace(world.inputs, faults=tuple(fault_on(H100, slot) for slot in range(8)))
        assert publisher.publish_now(WAIT_SECONDS)
        assert world.generations() == {2}
        assert all(device.taints for device in world.devices().values())


def test_a_higher_generation_in_the_api_is_adopted(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, MIXED) as world:
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        first = world.server.get("ResourceSlice", world.slices()[0].metadata.name)
        first["spec"]["pool"]["generation"] = 41
        world.server.update(first)
        assert eventually(lambda: world.generations() == {41})
        world.inputs = replace(world.inputs, faults=tuple(fault_on(H100, slot) for slot in range(8)))
        assert publisher.publish_now(WAIT_SECONDS)
        assert world.generations() == {42}


def test_deleted_slices_come_back(tmp_path: Path) -> None:
    with pooled(tmp_path, H100) as world:
        assert world.publisher().publish_now(WAIT_SECONDS)
        before = world.devices()
        world.server.delete_all("ResourceSlice")
        assert eventually(lambda: world.devices() == before)
        assert eventually(lambda: len(world.generations()) == 1)


def test_a_slice_of_another_naming_is_removed(tmp_path: Path) -> None:
    with pooled(tmp_path, H100) as world:
        assert world.publisher().publish_now(WAIT_SECONDS)
        stranger = world.server.get("ResourceSlice", world.slices()[1].metadata.name)
        stranger["metadata"] = {"name": "left-by-an-older-version"}
        world.server.create(stranger)
        assert eventually(lambda: "left-by-an-older-version" not in {s.metadata.name for s in world.slices()})


def test_a_withdrawn_device_is_tainted_first_and_leaves_when_no_claim_holds_it() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    partitions = sorted(name for name in world.devices() if "-mig-" in name)
    held = partitions[0]
    world.claims.add(held)
    world.inputs = inputs_of(H100, replace(MIXED, mig_shapes=frozenset()))
    world.publish()
    devices = world.devices()
    assert all([taint.key for taint in devices[name].taints] == [WITHDRAWN_TAINT_KEY] for name in partitions)
    world.pass_time(WITHDRAW_SECONDS)
    assert [name for name in world.devices() if "-mig-" in name] == [held]
    world.pass_time(2 * HELD_SECONDS_MAX)
    assert held in world.devices(), "an allocated device is never withdrawn"
    world.claims.clear()
    world.pass_time(2 * HELD_SECONDS_MAX)
    assert held not in world.devices()


def test_a_device_that_is_wanted_again_loses_its_taint(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, MIXED) as world:
        world.withdraw_seconds = 60.0
        publisher = world.publisher()
        for offer in (replace(MIXED, shared=False), MIXED):
            world.inputs = inputs_of(H100, offer)
            assert publisher.publish_now(WAIT_SECONDS)
        assert not any(device.taints for device in world.devices().values())


def test_publish_now_gives_up_at_its_deadline_and_the_loop_goes_on(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, Offer(whole=True)) as world:
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        broken = world.server.faults.plant(HttpFault(method="PUT", times=-1, code=503))
        world.inputs = replace(world.inputs, faults=(fault_on(H100, 0),))
        assert not publisher.publish_now(0.3)
        assert broken.hits
        world.server.faults.clear()
        assert publisher.publish_now(WAIT_SECONDS)
        assert [device.name for device in world.devices().values() if device.taints]


def test_publish_now_waits_for_a_pool_decided_after_the_call(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, Offer(whole=True)) as world:
        publisher = world.publisher()
        assert eventually(lambda: publisher.ready)
        world.inputs = replace(world.inputs, faults=(fault_on(H100, 0),))
        assert publisher.publish_now(WAIT_SECONDS)
        assert [device.name for device in world.devices().values() if device.taints]


def test_a_refused_slice_is_tried_again_without_a_storm_of_generations(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, Offer(whole=True)) as world:
        world.server.faults.plant(HttpFault(method="POST", path="resourceslices", times=1, after=True, code=422))
        refused = world.server.faults.plant(HttpFault(method="POST", path="resourceslices", times=4, code=422))
        assert world.publisher().publish_now(WAIT_SECONDS)
        assert refused.hits == 4
        assert world.generations() == {1}


def test_a_lost_answer_to_a_create_does_no_harm(tmp_path: Path) -> None:
    with pooled(tmp_path, H100) as world:
        world.server.faults.plant(HttpFault(method="POST", path="resourceslices", times=2, drop=True, after=True))
        assert world.publisher().publish_now(WAIT_SECONDS)
        assert len(world.generations()) == 1


def test_many_callers_wait_for_one_writer(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, Offer(whole=True)) as world:
        publisher = world.publisher()
        answers: list[bool] = []
        callers = [
            threading.Thread(target=lambda: answers.append(publisher.publish_now(WAIT_SECONDS))) for _ in range(12)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert answers == [True] * 12
        assert world.counted.rounds == ["ok"]
