"""Validation on the way to prepared, and the quarantine of what fails."""

from __future__ import annotations

import shutil

import pytest

from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import GpuLost, StuckBit
from partita_plugins.errors import PartitaError, Permanent, ValidationFailed
from partita_plugins.model.mig import Placement
from tests.driver.engine.nodes import WORDS, Node, claim

WORD_IN_UPPER_HALF = WORDS * 5 // 8


def test_a_replay_gives_the_same_and_does_not_validate(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    first = node.engine.prepare(wanted)
    node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(0), word=WORD_IN_UPPER_HALF, bit=3))
    shutil.rmtree(node.root / "cdi")
    assert node.engine.prepare(wanted) == first
    assert len(node.cdi_files()) == 1
    assert node.engine.faults() == ()


def test_a_failed_validation_undoes_quarantines_and_says_what_was_found(node: Node) -> None:
    node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(0), word=WORD_IN_UPPER_HALF, bit=3))
    wanted = claim(node.mig(0, "3g", 4))
    with pytest.raises(ValidationFailed, match="bit 3"):
        node.engine.prepare(wanted)
    assert node.placements() == []
    assert node.cdi_files() == []
    assert node.journal.state.claims == {}
    (fault,) = node.engine.faults()
    assert (fault.reason, fault.placement) == ("validation", Placement(4, 4))
    assert [one.key for one in node.told] == [fault.key]
    with pytest.raises(Permanent, match="quarantined"):
        node.engine.prepare(claim(node.whole(0)))
    node.engine.prepare(claim(node.mig(0, "3g", 0)))


def test_the_fault_is_told_before_the_error_returns_and_before_the_undo(node: Node) -> None:
    node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(0), word=WORD_IN_UPPER_HALF, bit=3))
    seen: list[int] = []
    node.engine._tools._on_fault = lambda _fault: seen.append(len(node.placements()))
    with pytest.raises(ValidationFailed):
        node.engine.prepare(claim(node.mig(0, "3g", 4)))
    assert seen == [1]


def test_faults_outlive_the_driver_and_are_lifted_by_a_passed_validation(node: Node) -> None:
    planted = node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(0), word=WORD_IN_UPPER_HALF, bit=3))
    for name in (node.mig(0, "3g", 4), node.whole(0)):
        with pytest.raises(PartitaError):
            node.engine.prepare(claim(name))
    (fault,) = node.start().faults()
    assert not node.engine.revalidate(fault)
    node.backend.faults.lift(planted)
    assert node.engine.revalidate(fault)
    assert node.engine.faults() == ()
    assert node.placements() == []
    assert node.told[-1].key == fault.key
    node.engine.prepare(claim(node.mig(0, "3g", 4)))


def test_faulty_hardware_in_use_is_not_validated_again(node: Node) -> None:
    held = claim(node.whole(0))
    node.engine.prepare(held)
    node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(1), word=5, bit=3))
    with pytest.raises(ValidationFailed):
        node.engine.prepare(claim(node.whole(1)))
    (fault,) = node.engine.faults()
    node.engine.add_fault(type(fault)(gpu_uuid=node.gpu_uuid(0), reason="xid-48", message="XID 48"))
    xid = node.engine.faults()[1]
    assert not node.engine.revalidate(xid)
    node.engine.unprepare(held.metadata.uid)
    assert node.engine.revalidate(xid)
    (device,) = node.engine.prepare(held)
    assert device.validation is not None
    assert device.validation.depth == "quick"


def test_a_lost_gpu_is_quarantined_alone_and_its_claims_can_still_be_deleted(node: Node) -> None:
    held = claim(node.mig(0, "3g", 4))
    node.engine.prepare(held)
    planted = node.backend.faults.plant(GpuLost(gpu_uuid=node.gpu_uuid(0)))
    node.engine.unprepare(held.metadata.uid)
    assert [fault.reason for fault in node.engine.faults()] == ["gpu-lost"]
    assert node.engine.claims()[held.metadata.uid].state is ClaimState.UNDOING
    node.engine.prepare(claim(node.mig(1, "3g", 4)))
    node.start()
    node.backend.faults.lift(planted)
    node.engine.refresh()
    node.engine.reconcile()
    assert held.metadata.uid not in node.engine.claims()
    assert node.placements() == [(1, Placement(4, 4))]
