"""Validation on the way to prepared, and the quarantine of what fails."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from partita_driver.cdi.files import CdiFolder
from partita_driver.health.faults import Cure, Fault
from partita_driver.journal.records import SWITCHED_OFF, JournalState
from partita_driver.journal.store import Change, Durability
from partita_driver.lifecycle import ClaimState
from partita_driver.settings.parse import ValidationSettings
from partita_plugins.backends.simulated import GpuLost, StuckBit
from partita_plugins.contracts import Look, ValidationResult, ValidationTarget
from partita_plugins.errors import PartitaError, Permanent, Retryable, ValidationFailed
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.mig import Placement
from tests.driver.engine.nodes import WORDS, Node, claim, result
from tests.driver.engine.validators import Scripted

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
    node.engine._tools.quarantine._on_faults = lambda _faults: seen.append(len(node.placements()))
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
    node.engine.add_faults(type(fault)(gpu_uuid=node.gpu_uuid(0), reason="xid-48", message="XID 48"))
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


def test_the_gpus_of_a_claim_are_validated_side_by_side(tmp_path: Path) -> None:
    """Each look waits for all eight: one after the other they would never end."""
    node, together = Node(tmp_path), threading.Barrier(8, timeout=20)

    def meet(_target: ValidationTarget, _look: Look) -> None:
        together.wait()

    node.engine._tools.validator = Scripted(during=meet)
    node.engine.prepare(claim("group-4-0-1-2-3", *(node.whole(slot) for slot in range(4, 8))))


def test_two_shares_of_one_gpu_in_one_claim_are_looked_at_once(node: Node) -> None:
    """They are the same memory: two looks at it in full at once would find each other's writes, and call it broken."""
    node.engine._tools.validator = seen = Scripted()
    wanted = claim(*(result(node.shared(0), request, shareID=request) for request in ("one", "two")))
    devices = node.engine.prepare(wanted)
    assert [gpu_uuid for gpu_uuid, _ in seen.looks] == [node.gpu_uuid(0)]
    assert [device.validation and device.validation.depth for device in devices] == ["full", "full"]


def test_every_bad_member_of_a_group_is_quarantined_and_no_other(tmp_path: Path) -> None:
    node = Node(tmp_path)
    bad = {node.gpu_uuid(1), node.gpu_uuid(3)}
    node.engine._tools.validator = Scripted(findings=dict.fromkeys(bad, ("bit 3 of word 0x5 reads 1",)))
    with pytest.raises(ValidationFailed, match="group-4-0-1-2-3"):
        node.engine.prepare(claim("group-4-0-1-2-3"))
    assert {fault.gpu_uuid for fault in node.engine.faults()} == bad
    assert node.journal.state.claims == {}


def test_a_device_that_nobody_looked_at_is_not_called_validated_or_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path)
    node.engine._tools.validator, node.engine._tools.validates = Scripted(), lambda _moment: False
    (device,) = node.engine.prepare(claim(node.whole(0)))
    assert device.validation
    assert device.validation.method == SWITCHED_OFF

    def refuse(*_: object) -> None:
        raise Retryable("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(CdiFolder, "write", refuse)
        with pytest.raises(Retryable):
            node.engine.prepare(claim(node.whole(1)))
    assert node.journal.state.clean == ()


def test_settings_switch_validation_off_but_never_for_a_quarantine(node: Node) -> None:
    node.engine._tools.validates = ValidationSettings(prepare=False).at
    planted = node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(0), word=5, bit=3))
    unseen = claim(node.whole(0))
    node.engine.prepare(unseen)
    node.engine.unprepare(unseen.metadata.uid)
    fault = Fault(gpu_uuid=node.gpu_uuid(0), reason="xid-48", message="XID 48")
    node.engine.add_faults(fault)
    assert not node.engine.revalidate(fault)
    node.backend.faults.lift(planted)
    assert node.engine.revalidate(fault)


def test_a_fault_that_is_reported_again_meanwhile_is_not_lifted(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault(gpu_uuid=node.gpu_uuid(0), reason="xid-48", message="XID 48")
    node.engine.add_faults(fault)
    validator = node.engine._tools.validator
    assert validator
    validate = validator.validate

    def reported_again(target: ValidationTarget, look: Look) -> ValidationResult:
        passed = validate(target, look)
        node.engine.add_faults(fault)
        return passed

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(validator, "validate", reported_again)
        assert not node.engine.revalidate(fault)
    assert [one.key for one in node.engine.faults()] == [fault.key]
    assert node.engine.revalidate(fault)
    assert node.engine.faults() == ()


def test_a_report_right_after_the_gpu_was_asked_for_its_health_is_not_lost(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(gpu_uuid=node.gpu_uuid(0), reason="xid-109", message="XID 109", cure=Cure.RESET)
    node.engine.add_faults(fault)
    health = node.backend.health

    def reported_after(gpu_uuid: str) -> tuple[HealthEvent, ...]:
        said = health(gpu_uuid)
        node.engine.add_faults(fault)
        return said

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(node.backend, "health", reported_after)
        assert not node.engine.revalidate(fault)
    assert node.engine.revalidate(fault)


def test_a_report_in_the_moment_of_lifting_is_not_lost(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault(gpu_uuid=node.gpu_uuid(0), reason="xid-48", message="XID 48")
    node.engine.add_faults(fault)
    lift = node.engine._tools.quarantine.lift

    def reported_first(*lifted: Any) -> bool:
        node.engine.add_faults(fault)
        return lift(*lifted)

    monkeypatch.setattr(node.engine._tools.quarantine, "lift", reported_first)
    assert not node.engine.revalidate(fault)
    assert [one.key for one in node.engine.faults()] == [fault.key]


def test_a_fault_that_was_lifted_just_before_its_next_report_is_told_anew(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(gpu_uuid=node.gpu_uuid(0), reason="xid-48", message="XID 48")
    node.engine.add_faults(fault)
    change = node.journal.change

    def lifted_first(what: Change, durability: Durability) -> JournalState:
        monkeypatch.setattr(node.journal, "change", change)
        node.engine._tools.quarantine.lift(fault)
        return change(what, durability)

    monkeypatch.setattr(node.journal, "change", lifted_first)
    node.engine.add_faults(fault)
    assert [one.key for one in node.engine.faults()] == [fault.key]
    assert [one.key for one in node.told] == [fault.key] * 3
