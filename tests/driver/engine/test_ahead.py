"""Claims made before their pods are bound: ready for Prepare, undone where none comes, not lost or leaked by a kill."""

from __future__ import annotations

import pytest

from partita_driver.engine import ClaimEngine
from partita_driver.fault_points import hooked
from partita_driver.health.faults import Fault
from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import StuckBit
from partita_plugins.contracts import Look, ValidationResult, ValidationTarget
from partita_plugins.errors import PartitaError, Permanent, Retryable, ValidationFailed
from partita_plugins.model.mig import Placement
from partita_plugins.validators.reference import ReferenceValidator
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.engine.nodes import Node, claim
from tests.driver.engine.test_crash import CrashNow, check_owners, crash_at

AHEAD_POINTS = [
    "journal-half-written",
    "journal-synced",
    "intended",
    "done-enable-mig",
    "done-create-gpu-instance",
    "done-create-compute-instance",
    "made",
    "checked",
    "cdi-renamed",
    "cdi-handed",
    "made-ahead",
]


def state_of(engine: ClaimEngine, wanted: ResourceClaim) -> ClaimState:
    known = engine.claims().get(wanted.metadata.uid)
    return known.state if known else ClaimState.ABSENT


class Counting:
    """Counts validations of the driver process of the moment."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seen = 0
        validate = ReferenceValidator.validate

        def counted(validator: ReferenceValidator, target: ValidationTarget, look: Look) -> ValidationResult:
            self.seen += 1
            return validate(validator, target, look)

        patch.setattr(ReferenceValidator, "validate", counted)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def test_prepare_finds_what_was_made_ahead_and_does_not_validate_again(node: Node, counting: Counting) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    (ahead,) = node.engine.prepare_ahead(wanted)
    assert state_of(node.engine, wanted) is ClaimState.CHECKED
    assert node.placements() == [(0, Placement(4, 4))]
    assert ahead.validation
    assert (ahead.validation.depth, ahead.validation.moment) == ("full", "bind")
    assert counting.seen == 1
    (prepared,) = node.engine.prepare(wanted)
    assert prepared == ahead
    assert counting.seen == 1
    assert state_of(node.engine, wanted) is ClaimState.PREPARED


def test_what_is_found_broken_right_after_its_validation_is_not_ready_for_a_pod(node: Node) -> None:
    """Bound there, the pod would wait for ever: not every fault evicts."""
    found = Fault(gpu_uuid=node.gpu_uuid(0), reason="xid-48", message="XID 48", effect="NoSchedule")

    def report(point: str) -> None:
        if point == "checked":
            node.engine.add_faults(found)

    with hooked(report), pytest.raises(Permanent, match="xid-48"):
        node.engine.prepare_ahead(claim(node.mig(0, "3g", 4)))
    assert (node.placements(), node.cdi_files(), node.engine.claims()) == ([], [], {})


def test_it_is_made_once_however_often_it_is_asked_for(node: Node, counting: Counting) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    assert node.engine.prepare_ahead(wanted) == node.engine.prepare_ahead(wanted)
    prepared = node.engine.prepare(wanted)
    assert node.engine.prepare_ahead(wanted) == prepared
    assert state_of(node.engine, wanted) is ClaimState.PREPARED
    assert counting.seen == 1


def test_nobody_else_gets_what_waits_for_its_pod(node: Node) -> None:
    node.engine.prepare_ahead(claim(node.mig(0, "3g", 4)))
    with pytest.raises(Retryable, match="overlaps"):
        node.engine.prepare(claim(node.whole(0)))


def test_what_no_pod_came_for_is_undone_and_what_one_has_is_not(node: Node) -> None:
    waiting, used = claim(node.mig(0, "3g", 4)), claim(node.mig(0, "3g", 0))
    for one in (waiting, used):
        node.engine.prepare_ahead(one)
    node.engine.prepare(used)
    for one in (waiting, used, claim(node.whole(3))):
        node.engine.undo_ahead(one.metadata.uid)
    assert list(node.engine.claims()) == [used.metadata.uid]
    check_owners(node)


def test_a_claim_that_is_gone_from_the_api_is_undone_at_once(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare_ahead(wanted)
    assert node.engine.reconcile_claims(lambda *_: False, gone_seconds=300.0) == (wanted.metadata.uid,)
    check_owners(node)


def test_a_claim_that_was_allocated_anew_is_made_anew(node: Node) -> None:
    before = claim(node.mig(0, "3g", 4))
    node.engine.prepare_ahead(before)
    after = claim(node.mig(0, "3g", 0), uid=before.metadata.uid)
    node.engine.prepare_ahead(after)
    assert node.placements() == [(0, Placement(0, 4))]
    node.engine.prepare(before)
    assert node.placements() == [(0, Placement(4, 4))]
    check_owners(node)


def test_a_broken_device_is_quarantined_and_nothing_of_the_claim_stays(node: Node) -> None:
    node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(3), word=5, bit=7))
    wanted = claim(node.whole(3))
    with pytest.raises(ValidationFailed, match="bit 7"):
        node.engine.prepare_ahead(wanted)
    assert [fault.gpu_uuid for fault in node.told] == [node.gpu_uuid(3)]
    assert state_of(node.engine, wanted) is ClaimState.ABSENT
    assert node.cdi_files() == []
    with pytest.raises(Permanent, match="quarantined"):
        node.engine.prepare_ahead(wanted)


def test_hardware_that_fails_between_the_two_is_handed_to_nobody(node: Node) -> None:
    wanted = claim(node.whole(3))
    node.engine.prepare_ahead(wanted)
    node.engine.add_faults(Fault(gpu_uuid=node.gpu_uuid(3), reason="xid-79", message="it fell off the bus"))
    with pytest.raises(Permanent, match="quarantined"):
        node.engine.prepare(wanted)
    node.engine.unprepare(wanted.metadata.uid)
    check_owners(node)


@pytest.mark.parametrize("point", AHEAD_POINTS)
def test_a_kill_leaves_nothing_that_the_next_process_cannot_mend(node: Node, point: str) -> None:
    wanted, other = claim(node.mig(0, "3g", 4)), claim(node.mig(0, "3g", 4))
    with crash_at(point), pytest.raises(CrashNow):
        node.engine.prepare_ahead(wanted)
    node.start()
    if state_of(node.engine, wanted) is ClaimState.ABSENT:
        assert node.placements() == []
    node.engine.prepare(wanted)
    check_owners(node)
    node.engine.unprepare(wanted.metadata.uid)
    with crash_at(point), pytest.raises(CrashNow):
        node.engine.prepare_ahead(other)
    node.start()
    node.engine.reconcile_claims(lambda *_: False, gone_seconds=300.0)
    check_owners(node)
    assert node.placements() == []


def test_what_is_ready_outlives_the_driver(node: Node, counting: Counting) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare_ahead(wanted)
    node.start()
    assert state_of(node.engine, wanted) is ClaimState.CHECKED
    node.engine.prepare(wanted)
    assert counting.seen == 1
    check_owners(node)


def test_what_another_boot_has_proven_is_proven_again(node: Node, counting: Counting) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare_ahead(wanted)
    node.reboot()
    assert state_of(node.engine, wanted) is ClaimState.ABSENT
    node.engine.prepare(wanted)
    assert counting.seen == 2
    check_owners(node)


def test_a_partition_that_was_destroyed_meanwhile_is_made_and_proven_again(node: Node, counting: Counting) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare_ahead(wanted)
    [instance] = node.instances()[0]
    for compute in instance.compute_instances:
        node.backend.destroy_compute_instance(instance.gpu_uuid, instance.gpu_instance_id, compute.compute_instance_id)
    node.backend.destroy_gpu_instance(instance.gpu_uuid, instance.gpu_instance_id)
    node.engine.prepare(wanted)
    assert counting.seen == 2
    check_owners(node)


def test_an_unprepare_without_a_prepare_takes_all_back(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare_ahead(wanted)
    node.engine.unprepare(wanted.metadata.uid)
    assert node.engine.claims() == {}
    check_owners(node)


def test_a_claim_that_is_undone_when_its_prepare_comes_is_made_anew(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare_ahead(wanted)
    with crash_at("undo-intended"), pytest.raises(CrashNow):
        node.engine.undo_ahead(wanted.metadata.uid)
    try:
        node.engine.prepare(wanted)
    except PartitaError:
        node.engine.prepare(wanted)
    assert state_of(node.engine, wanted) is ClaimState.PREPARED
    check_owners(node)
