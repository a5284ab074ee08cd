"""Slices that somebody deletes one by one, while some of their devices are on their way out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.driver.edge.worlds import MIXED, eventually, inputs_of, pooled, slotted

H100 = slotted("hgx-h100")


def test_a_withdrawn_device_that_a_claim_holds_survives_the_deletion_of_its_slice(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, MIXED) as world:
        world.withdraw_seconds = 60.0
        publisher = world.publisher()
        assert publisher.publish_now(5)
        world.inputs = inputs_of(H100, replace(MIXED, mig_shapes=frozenset()))
        assert publisher.publish_now(5)
        last = world.slices()[-1]
        assert len(world.slices()) > 2
        held = last.spec.devices[-1].name
        world.claims.add(held)
        world.server.delete("ResourceSlice", last.metadata.name)
        assert eventually(lambda: last.metadata.uid not in {entry.metadata.uid for entry in world.slices()})
        assert publisher.publish_now(5)
        assert eventually(lambda: held in world.devices(), 2), "an allocated device is never withdrawn"
