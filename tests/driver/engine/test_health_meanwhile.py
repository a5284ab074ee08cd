"""What a GPU says of itself around its validation counts as much as what the validator finds."""

from __future__ import annotations

import pytest

from partita_driver.cdi.files import CdiFolder
from partita_driver.health.faults import Fault
from partita_plugins.backends.simulated import SelfReport
from partita_plugins.errors import Retryable, ValidationFailed
from tests.driver.engine.nodes import Node, claim
from tests.driver.engine.validators import Scripted


@pytest.fixture
def validator(node: Node) -> Scripted:
    node.engine._tools.validator = made = Scripted()
    return made


def test_an_error_reported_while_the_validator_computes_fails_the_device_with_the_gpus_own_words(
    node: Node, validator: Scripted
) -> None:
    pending = SelfReport(gpu_uuid=node.gpu_uuid(0), report="remap-pending")

    def breaks(*_: object) -> None:
        node.backend.faults.plant(pending)

    validator.during = breaks
    with pytest.raises(ValidationFailed, match="the GPU reports remap-pending"):
        node.engine.prepare(claim(node.whole(0)))
    effects = {fault.reason: fault.effect for fault in node.engine.faults()}
    assert effects == {"remap-pending": "NoSchedule", "validation": "NoExecute"}
    assert node.journal.state.claims == {}


def test_an_error_reported_before_is_found_without_computing(node: Node, validator: Scripted) -> None:
    node.backend.faults.plant(SelfReport(gpu_uuid=node.gpu_uuid(0), report="ecc"))
    with pytest.raises(ValidationFailed, match="the GPU reports ecc"):
        node.engine.prepare(claim(node.whole(0)))
    assert validator.looks == []


def test_an_xid_heard_meanwhile_fails_the_device(node: Node, validator: Scripted) -> None:
    xid = Fault(gpu_uuid=node.gpu_uuid(0), reason="xid-48", message="XID 48", effect="NoSchedule")
    validator.during = lambda *_: node.engine.add_faults(xid)
    with pytest.raises(ValidationFailed, match="XID 48"):
        node.engine.prepare(claim(node.whole(0)))
    assert {fault.reason for fault in node.engine.faults()} == {"xid-48", "validation"}


def test_a_report_about_another_part_of_the_gpu_fails_nobody_elses_partition(node: Node, validator: Scripted) -> None:
    node.backend.faults.plant(SelfReport(gpu_uuid=node.gpu_uuid(0), report="ecc", start=0, size=1))
    node.engine.prepare(claim(node.mig(0, "3g", 4)))
    with pytest.raises(ValidationFailed, match="ecc"):
        node.engine.prepare(claim(node.mig(0, "3g", 0)))
    assert len(validator.looks) == 1


@pytest.mark.parametrize("skipped", ["", "shared"])
def test_beside_others_on_a_shared_gpu_the_look_is_a_quick_one_that_leaves_them_room(
    node: Node, validator: Scripted, skipped: str
) -> None:
    validator.skipped = skipped
    node.engine.prepare(claim(node.shared(0)))
    second = claim(node.shared(0))
    (device,) = node.engine.prepare(second)
    (_, alone), (_, beside) = validator.looks
    assert (alone.depth, alone.shared) == ("full", False)
    assert (beside.depth, beside.shared) == ("quick", True)
    assert device.validation
    assert (device.validation.depth, device.validation.reason) == ("skipped" if skipped else "quick", skipped)


def test_a_share_that_cannot_be_handed_out_leaves_no_word_that_nobody_uses_the_gpu(
    node: Node, validator: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.engine.prepare(claim(node.shared(0)))

    def refuse(*_: object) -> None:
        raise Retryable("the disk is full")

    monkeypatch.setattr(CdiFolder, "write", refuse)
    with pytest.raises(Retryable, match="full"):
        node.engine.prepare(claim(node.shared(0)))
    assert len(validator.looks) == 2
    assert node.journal.state.clean == ()
