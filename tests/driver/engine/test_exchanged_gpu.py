"""GPUs taken out and others put in their place: what was known of the old ones goes with them, and no sooner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from partita_driver.health.faults import GPU_LOST, Fault, settled
from partita_plugins.backends.simulated import GpuLost
from partita_plugins.backends.simulated.machine import SimulatedMachine
from partita_plugins.errors import PartitaError
from partita_plugins.model.gpu import NodeHardware
from tests.driver.engine.nodes import Node, claim

NEW_UUID = "GPU-ffffffff-0000-4000-8000-000000000000"


def exchange(node: Node, gpu_uuid: str, monkeypatch: pytest.MonkeyPatch, **unlike: Any) -> None:
    """Power off, put in another GPU, the same but for what is `unlike`, power on: the journal is still there."""
    catalog = node.backend.machine.hardware
    gpus = tuple(replace(gpu, uuid=NEW_UUID, **unlike) if gpu.uuid == gpu_uuid else gpu for gpu in catalog.gpus)

    class Exchanged(SimulatedMachine):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            self.hardware: NodeHardware = replace(self.hardware, gpus=gpus)
            self._index = {gpu.uuid: index for index, gpu in enumerate(gpus)}

    monkeypatch.setattr("partita_plugins.backends.simulated.machine.SimulatedMachine", Exchanged)
    node.reboot()


def fault_on(node: Node, slot: int, reason: str = GPU_LOST) -> Fault:
    return Fault(gpu_uuid=node.gpu_uuid(slot), reason=reason, message="the GPU has fallen off the bus")


def test_the_fault_of_a_gpu_that_was_exchanged_goes_with_it(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = node.gpu_uuid(3)
    node.engine.add_faults(fault_on(node, 3))
    node.engine.add_faults(fault_on(node, 4, "xid-79"))
    node.backend.faults.plant(GpuLost(gpu_uuid=lost))
    node.start()
    assert len(node.engine.faults()) == 2, "merely lost: it may come back as it was"
    exchange(node, node.gpu_uuid(4), monkeypatch)
    assert [fault.gpu_uuid for fault in node.engine.faults()] == [lost]
    assert node.told[-1].reason == "xid-79", "whoever publishes taints hears of it"
    assert node.engine.prepare(claim(node.whole(4)))[0].uuid == NEW_UUID


def test_a_fault_reported_before_its_gpu_was_ever_seen_goes_when_all_places_are_taken(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.backend.faults.plant(GpuLost(gpu_uuid=node.gpu_uuid(3)))
    fault = replace_uuid(fault_on(node, 3))
    node.start()
    node.engine.add_faults(fault)
    node.engine.refresh()
    assert node.engine.faults()[0].gpu_uuid == fault.gpu_uuid, "GPU 3 does not answer: it may be that one"
    for planted in node.backend.faults.all():
        node.backend.faults.lift(planted)
    node.engine.refresh()
    assert node.engine.faults() == ()


def replace_uuid(fault: Fault) -> Fault:
    return Fault(gpu_uuid="GPU-never-seen", reason=fault.reason, message=fault.message)


def test_a_gpu_that_moved_to_another_slot_takes_its_fault_along(node: Node) -> None:
    first, second = node.engine.node.hardware.gpus[:2]
    fault = Fault(gpu_uuid=first.uuid, reason="validation", message="", pci_bus_id=first.pci_bus_id)
    swapped = (replace(first, pci_bus_id=second.pci_bus_id), replace(second, pci_bus_id=first.pci_bus_id))
    [kept] = settled([fault], swapped, ())
    assert (kept.gpu_uuid, kept.pci_bus_id) == (first.uuid, second.pci_bus_id)


@pytest.mark.parametrize("kind", ["mig", "whole", "shared"])
def test_what_a_claim_had_on_an_exchanged_gpu_can_be_given_back(
    node: Node, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = claim({"mig": node.mig(0, "3g", 4), "whole": node.whole(0), "shared": node.shared(0)}[kind])
    node.engine.prepare(held)
    exchange(node, node.gpu_uuid(0), monkeypatch)
    node.engine.unprepare(held.metadata.uid)
    assert node.journal.state.claims == {}
    node.engine.prepare(claim(node.whole(0)))


def test_what_a_claim_has_on_a_lost_gpu_stays_known_until_it_can_be_undone(node: Node) -> None:
    held = claim(node.mig(0, "3g", 4))
    node.engine.prepare(held)
    lost = node.gpu_uuid(0)
    planted = node.backend.faults.plant(GpuLost(gpu_uuid=lost))
    node.engine.refresh()
    node.engine.unprepare(held.metadata.uid)
    assert held.metadata.uid in node.journal.state.claims
    node.backend.faults.lift(planted)
    node.engine.refresh()
    node.engine.reconcile()
    assert node.journal.state.claims == {}
    with pytest.raises(PartitaError, match="no device"):
        node.engine.prepare(claim("gpu-00ff-00-00-0"))
