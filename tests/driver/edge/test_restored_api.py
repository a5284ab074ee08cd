"""An API server whose etcd was restored from a backup: versions are lower than those that the driver knows."""

from __future__ import annotations

import msgspec

from partita_plugins.wire import FAULT_TAINT_KEY
from tests.driver.edge.in_memory import H100, InMemory
from tests.driver.edge.worlds import MIXED, fault_on, inputs_of


def test_slices_are_written_again_after_versions_went_back() -> None:
    world = InMemory(inputs_of(H100, MIXED))
    world.store.version = 1000
    world.publish()
    for version, (name, entry) in enumerate(sorted(world.store.slices.items()), start=1):
        metadata = msgspec.structs.replace(entry.metadata, resource_version=str(version))
        world.store.slices[name] = msgspec.structs.replace(entry, metadata=metadata)
    world.store.version = len(world.store.slices)
    world.inputs = inputs_of(H100, MIXED, fault_on(H100, 0))
    world.publish()
    tainted = [name for name, device in world.devices().items() if device.taints]
    assert tainted
    assert {taint.key for name in tainted for taint in world.devices()[name].taints} == {FAULT_TAINT_KEY}
