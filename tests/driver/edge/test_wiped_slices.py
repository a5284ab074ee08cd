"""Slices that somebody deletes one by one, while some of their devices are on their way out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from partita_plugins.wire import WITHDRAWN_TAINT_KEY
from tests.driver.edge.in_memory import InMemory
from tests.driver.edge.worlds import MIXED, fault_on, inputs_of, pooled, slotted
from tests.waiting import WAIT_SECONDS, eventually

H100 = slotted("hgx-h100")


def test_a_withdrawn_device_that_a_claim_holds_survives_the_deletion_of_its_slice(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, MIXED) as world:
        world.withdraw_seconds = 60.0
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        world.inputs = inputs_of(H100, replace(MIXED, mig_shapes=frozenset()))
        assert publisher.publish_now(WAIT_SECONDS)
        last = world.slices()[-1]
        assert len(world.slices()) > 2
        held = last.spec.devices[-1].name
        world.claims.add(held)
        world.server.delete("ResourceSlice", last.metadata.name)
        assert eventually(lambda: last.metadata.uid not in {entry.metadata.uid for entry in world.slices()})
        assert publisher.publish_now(WAIT_SECONDS)
        assert eventually(lambda: held in world.devices()), "an allocated device is never withdrawn"


def test_an_allocated_device_that_nobody_prepared_yet_survives_a_wipe_while_no_driver_runs(tmp_path: Path) -> None:
    """Settings take partitions away, a claim still holds one, the driver ends, the kubelet wipes, a driver begins."""
    with pooled(tmp_path, H100, MIXED) as world:
        first = world.publisher()
        assert first.publish_now(WAIT_SECONDS)
        held = next(device for name, device in world.devices().items() if "-mig-" in name)
        world.claims.add(held.name)
        first.stop()
        world.inputs = inputs_of(H100, replace(MIXED, mig_shapes=frozenset()))
        world.server.delete_all("ResourceSlice")
        assert world.publisher().publish_now(WAIT_SECONDS)
        again = world.devices()[held.name]
        assert again.consumes_counters == held.consumes_counters
        assert [taint.key for taint in again.taints] == [WITHDRAWN_TAINT_KEY]
        assert not any("-mig-" in name for name in world.devices().keys() - {held.name})


def test_what_was_wiped_is_put_back_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    before, asked = world.devices(), list[float]()
    monkeypatch.setattr(world.publisher.loop, "wake", asked.append)
    world.wipe()
    world.watch.deliver()
    assert asked
    assert max(asked) < 1
    world.publish()
    assert world.devices() == before


def test_slices_stay_when_the_driver_stops(tmp_path: Path) -> None:
    """The kubelet removes them where it should: scheduling must not stop for an update of the driver."""
    with pooled(tmp_path, H100, MIXED) as world:
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        before = world.slices()
        publisher.stop()
        assert world.slices() == before


def test_a_slice_that_is_changed_and_then_deleted_by_somebody_else_is_put_back_by_the_next_try() -> None:
    """The write conflicts, and when the driver reads what there is instead, there is nothing."""
    world = InMemory(inputs_of(H100, MIXED))
    world.publish()
    before = world.devices().keys()
    name = min(world.store.slices)

    def change_then_delete() -> None:
        world.api.disturb = lambda: world.store.drop_slice(name)
        for entry in list(world.store.slices.values()):
            world.store.put_slice(entry)

    world.inputs = inputs_of(H100, MIXED, *(fault_on(H100, slot) for slot in range(8)))
    world.api.disturb = change_then_delete
    world.publisher.step()
    world.api.disturb = lambda: None
    assert name not in world.store.slices
    assert name not in world.publisher._mirror.snapshot(), "the API server said that it is gone"
    world.publish()
    assert world.devices().keys() == before
