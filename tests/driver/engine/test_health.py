"""What GPUs say of themselves: classes of faults, and what it takes to lift them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from partita_driver.hardware.workers import Hung
from partita_driver.health import classes as fault_classes
from partita_driver.health.classes import KINDS, UNKNOWN_XID, XIDS, Part, faults_from
from partita_driver.health.faults import HUNG, VALIDATION, Cure, Fault
from partita_plugins.backends.simulated import GpuLost, HungCall, SelfReport, StuckBit, Xid
from partita_plugins.backends.simulated.faults import REPORTS
from partita_plugins.contracts import Look, ValidationResult, ValidationTarget
from partita_plugins.errors import Permanent, ValidationFailed
from partita_plugins.model.health import MIG_CHANGE, HealthEvent
from partita_plugins.model.mig import Placement
from tests.driver.engine.nodes import DEADLINES, QUICK, WORDS, Node, claim

DOCS = Path(__file__).parents[3] / "docs" / "health.md"
PLACES = (Placement(0, 1), Placement(4, 4))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (HealthEvent(gpu_uuid="g", kind="xid", xid=79, placements=PLACES), [("NoExecute", Cure.REBOOT, None)]),
        (HealthEvent(gpu_uuid="g", kind="xid", xid=119), [("NoExecute", Cure.RESET, None)]),
        (HealthEvent(gpu_uuid="g", kind="xid", xid=64), [("NoSchedule", Cure.RESET, None)]),
        (
            HealthEvent(gpu_uuid="g", kind="xid", xid=94, placements=PLACES),
            [("NoSchedule", Cure.VALIDATION, PLACES[0]), ("NoSchedule", Cure.VALIDATION, PLACES[1])],
        ),
        (HealthEvent(gpu_uuid="g", kind="xid", xid=54), [("NoSchedule", Cure.REPAIR, None)]),
        (
            HealthEvent(gpu_uuid="g", kind="xid", xid=4711, placements=PLACES[:1]),
            [("NoSchedule", Cure.VALIDATION, PLACES[0])],
        ),
        (HealthEvent(gpu_uuid="g", kind="gpu-lost"), [("NoExecute", Cure.RESET, None)]),
        (HealthEvent(gpu_uuid="g", kind="recovery-reboot"), [("NoExecute", Cure.REBOOT, None)]),
        (HealthEvent(gpu_uuid="g", kind="thermal"), [("NoSchedule", Cure.VALIDATION, None)]),
    ],
)
def test_a_report_s_faults(event: HealthEvent, expected: list[tuple[str, Cure, Placement | None]]) -> None:
    found = faults_from(event, 1.0)
    assert [(fault.effect, fault.cure, fault.placement) for fault in found] == expected
    assert {fault.reason for fault in found} == {f"xid-{event.xid}" if event.xid else event.kind}
    assert all(("reset" in fault.message) >= (fault.cure is Cure.RESET) for fault in found)


@pytest.mark.parametrize("xid", [13, 31, 43, 45, 68, 63, 106, 137])
def test_errors_of_programs_concern_nobody_else(xid: int) -> None:
    assert faults_from(HealthEvent(gpu_uuid="g", kind="xid", xid=xid), 1.0) == ()


def test_no_xid_stands_in_two_rows_and_every_state_a_gpu_may_report_has_one() -> None:
    listed = [xid for _, xids in fault_classes._XIDS_OF for xid in xids]
    assert len(listed) == len(set(listed)) == len(XIDS)
    assert set(REPORTS) | {"gpu-lost", MIG_CHANGE} == set(KINDS)
    assert UNKNOWN_XID.part is not Part.NOTHING


def test_the_documented_table_is_the_one_in_force() -> None:
    rows = [line.split("|")[1:5] for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| XID")]
    documented: dict[int, tuple[bool, str, str]] = {}
    for reports, faulty, pods, cure in rows:
        row = ("nothing" in faulty, "NoExecute" if "evicted" in pods else "NoSchedule", cure.strip() or "validation")
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", reports.partition(";")[0]):
            documented |= dict.fromkeys(range(int(first), int(last or first) + 1), row)
    assert documented == {xid: (row.part is Part.NOTHING, row.effect, row.cure) for xid, row in XIDS.items()}


def test_what_a_gpu_reports_is_quarantined_at_a_look_and_stays_until_a_reset(node: Node) -> None:
    for slot, report in ((0, "recovery-reset"), (1, "remap-pending")):
        node.backend.faults.plant(SelfReport(gpu_uuid=node.gpu_uuid(slot), report=report))  # type: ignore[arg-type]
    node.engine.check_health()
    faults = node.start().faults()
    assert [(fault.gpu_uuid, fault.cure) for fault in faults] == [(node.gpu_uuid(slot), Cure.RESET) for slot in (0, 1)]
    assert not any(node.engine.revalidate(fault) for fault in faults)
    node.backend.reset(node.gpu_uuid(0))
    assert [node.engine.revalidate(fault) for fault in faults] == [True, False]
    assert [fault.reason for fault in node.engine.faults()] == ["remap-pending"]


def test_a_fault_that_needs_a_reset_waits_for_all_that_the_hardware_says(node: Node) -> None:
    """XID 119 is an edge; that its GPU needs a reset is a state."""
    [fault] = faults_from(HealthEvent(gpu_uuid=node.gpu_uuid(0), kind="xid", xid=119), 1.0)
    node.engine.add_faults(fault)
    node.backend.faults.plant(SelfReport(gpu_uuid=node.gpu_uuid(0), report="recovery-reset"))
    assert not node.engine.revalidate(fault)
    node.backend.reset(node.gpu_uuid(0))
    assert node.engine.revalidate(fault)


def test_what_is_still_reported_is_not_lifted_by_a_validation(node: Node) -> None:
    planted = node.backend.faults.plant(Xid(gpu_uuid=node.gpu_uuid(0), xid=48))
    node.engine.check_health()
    [fault] = node.engine.faults()
    assert not node.engine.revalidate(fault)
    node.backend.faults.lift(planted)
    assert node.engine.revalidate(fault)


def test_a_gpu_that_a_call_finds_lost_needs_what_one_needs_that_reports_it(node: Node) -> None:
    node.backend.faults.plant(GpuLost(gpu_uuid=node.gpu_uuid(0)))
    with pytest.raises(Permanent, match="GPU_IS_LOST"):
        node.engine.prepare(claim(node.mig(0, "3g", 4)))
    assert [(fault.reason, fault.cure) for fault in node.engine.faults()] == [("gpu-lost", Cure.RESET)]


def test_faults_that_come_together_are_all_known_before_the_first_is_told(node: Node) -> None:
    told: list[tuple[int, int]] = []
    node.engine._tools.quarantine._on_faults = lambda faults: told.append((len(faults), len(node.engine.faults())))
    node.engine.add_faults(*(Fault(gpu_uuid=node.gpu_uuid(slot), reason="xid-79", message="m") for slot in range(3)))
    assert told == [(3, 3)]


def test_a_hung_gpu_does_not_keep_the_others_from_being_asked(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=QUICK)
    planted = node.backend.faults.plant(HungCall(gpu_uuid=node.gpu_uuid(0), call="health"))
    node.backend.faults.plant(SelfReport(gpu_uuid=node.gpu_uuid(7), report="ecc", start=2))
    node.engine.check_health()
    assert {(fault.gpu_uuid, fault.reason) for fault in node.engine.faults()} == {
        (node.gpu_uuid(0), HUNG),
        (node.gpu_uuid(7), "ecc"),
    }
    node.backend.faults.lift(planted)


def test_a_wait_for_events_that_hangs_is_given_up(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=QUICK)
    planted = node.backend.faults.plant(HungCall(gpu_uuid=node.gpu_uuid(0), call="wait_events"))
    with pytest.raises(Hung):
        node.engine.wait_events(0.05)
    assert node.engine.faults() == ()
    node.backend.faults.lift(planted)
    while node.engine.hung():
        time.sleep(0.005)
    node.backend.faults.plant(Xid(gpu_uuid=node.gpu_uuid(3), xid=31))
    assert [event.xid for event in node.engine.wait_events(30.0)] == [31]


class Hasty:
    """Covers no more than half of the memory, and finds nothing there."""

    name = "hasty"

    def __init__(self, coverage: float = 0.5) -> None:
        self.coverage = coverage

    def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
        return ValidationResult(method=self.name, depth=look.depth, seconds=0.0, memory_coverage=self.coverage)

    def validate_peers(self, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
        return self.validate(targets[0], look)


def test_a_fault_is_lifted_only_by_a_look_at_all_of_the_memory(node: Node) -> None:
    node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(0), word=WORDS - 1, bit=3))
    with pytest.raises(ValidationFailed):
        node.engine.prepare(claim(node.whole(0)))
    [fault] = node.engine.faults()
    node.engine._tools.validator = Hasty()
    assert not node.engine.revalidate(fault)
    assert node.placements() == []
    node.engine._tools.validator = Hasty(1.0)
    assert node.engine.revalidate(fault)


def test_revalidation_has_more_time_than_a_waiting_pod_gives(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=replace(DEADLINES, validate_seconds=0.2, revalidate_seconds=40.0))
    given: list[float] = []

    class Timed(Hasty):
        def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
            given.append(look.deadline_seconds)
            return super().validate(target, look)

    node.engine._tools.validator = Timed(1.0)
    node.engine.add_faults(Fault(gpu_uuid=node.gpu_uuid(0), reason=VALIDATION, message="m"))
    assert node.engine.revalidate(node.engine.faults()[0])
    assert given == [32.0]


@pytest.mark.parametrize(
    ("machine", "start", "size", "device"),
    [
        ("hgx-h100", 6, 1, Placement(6, 1)),
        ("hgx-h100", 5, 2, Placement(4, 4)),
        ("hgx-h100", 3, 2, Placement(0, 8)),
        ("a100-pcie-x8", 6, 1, None),
        ("l40s-x8", 0, 1, None),
    ],
)
def test_a_faulty_part_is_validated_in_the_smallest_device_that_contains_it(
    tmp_path: Path, machine: str, start: int, size: int, device: Placement | None
) -> None:
    node = Node(tmp_path, machine)
    seen: list[Placement | None] = []

    class Seeing(Hasty):
        def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
            seen.append(target.instance.placement if target.instance else None)
            return super().validate(target, look)

    node.engine._tools.validator = Seeing(1.0)
    node.engine.add_faults(Fault(gpu_uuid=node.gpu_uuid(0), reason="ecc", message="m", start=start, size=size))
    assert node.engine.revalidate(node.engine.faults()[0])
    assert seen == [device]
    assert node.placements() == []


def test_without_a_validator_the_hardware_s_word_lifts_all_but_what_a_validation_found(tmp_path: Path) -> None:
    node = Node(tmp_path, validate=False)
    node.backend.faults.plant(SelfReport(gpu_uuid=node.gpu_uuid(0), report="recovery-reset"))
    node.engine.check_health()
    node.engine.add_faults(Fault(gpu_uuid=node.gpu_uuid(1), reason=VALIDATION, message="m"))
    faults = node.engine.faults()
    assert not any(node.engine.revalidate(fault) for fault in faults)
    node.backend.reset(node.gpu_uuid(0))
    assert [node.engine.revalidate(fault) for fault in faults] == [True, False]


def test_a_replay_for_a_running_pod_is_answered_though_its_device_is_quarantined_by_now(node: Node) -> None:
    """The NoExecute taint evicts it, if its claim does not tolerate that (KEP-5055); the kubelet's restart must not."""
    held = claim(node.whole(0))
    first = node.engine.prepare(held)
    node.engine.add_faults(Fault(gpu_uuid=node.gpu_uuid(0), reason="xid-79", message="XID 79"))
    assert node.engine.prepare(held) == first
    assert node.start().prepare(held) == first
