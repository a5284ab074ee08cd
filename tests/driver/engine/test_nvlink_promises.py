"""GPUs that were promised NVLink are copied to one another before a container has them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from partita_plugins.contracts import Look, ValidationResult, ValidationTarget
from partita_plugins.errors import Permanent, Retryable, ValidationFailed
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.engine.nodes import DEADLINES, Node, claim, result
from tests.driver.engine.validators import Scripted
from tests.waiting import WAIT_SECONDS

ISLAND = f"{DRIVER_NAME}/nvlinkIsland"


@pytest.fixture
def validator(node: Node) -> Scripted:
    node.engine._tools.validator = made = Scripted()
    return made


def two_gpus(node: Node, **spec: object) -> ResourceClaim:
    """An allocated claim of GPUs 0 and 1, with what it asked for."""
    body = msgspec.to_builtins(claim(*(result(node.whole(slot), request="pair") for slot in (0, 1))))
    return msgspec.convert({**body, "spec": {"devices": spec}}, ResourceClaim)


def wishes(expression: str) -> list[dict[str, object]]:
    return [{"name": "pair", "exactly": {"count": 2, "selectors": [{"cel": {"expression": expression}}]}}]


@pytest.mark.parametrize(
    ("spec", "promised"),
    [
        ({"constraints": [{"matchAttribute": ISLAND}]}, True),
        ({"constraints": [{"requests": ["pair"], "matchAttribute": ISLAND}]}, True),
        ({"constraints": [{"requests": ["other"], "matchAttribute": ISLAND}]}, False),
        ({"constraints": [{"matchAttribute": "resource.kubernetes.io/pcieRoot"}]}, False),
        ({"requests": wishes(f"device.attributes['{DRIVER_NAME}'].nvlinkIsland == 'island-0'")}, True),
        ({"requests": wishes(f"device.attributes['{DRIVER_NAME}'].slot < 2")}, False),
    ],
)
def test_what_the_claim_asked_for_says_whether_nvlink_was_promised(
    node: Node, validator: Scripted, spec: dict[str, object], promised: bool
) -> None:
    node.engine.prepare(two_gpus(node, **spec))
    assert [set(uuids) for uuids, _ in validator.copied] == ([{node.gpu_uuid(0), node.gpu_uuid(1)}] if promised else [])


def test_a_group_published_with_nvlink_is_copied_among_all_its_members_and_counted_as_one_look(
    node: Node, validator: Scripted
) -> None:
    told: list[tuple[str, str, str]] = []
    node.engine._tools.validated = lambda moment, depth, result, _seconds: told.append((moment, depth, result))
    node.engine.prepare(claim("group-4-0-1-2-3"))
    assert [len(uuids) for uuids, _ in validator.copied] == [4]
    assert told == [("prepare", "full", "passed")] * 5


def test_a_group_without_nvlink_is_not_copied(tmp_path: Path) -> None:
    node = Node(tmp_path, machine="l40s-x8")
    node.engine._tools.validator = validator = Scripted()
    node.engine.prepare(claim("group-2-0-1"))
    assert len(validator.looks) == 2
    assert validator.copied == []


def test_a_copy_that_goes_wrong_quarantines_both_ends_until_the_two_can_be_copied_again(
    node: Node, validator: Scripted
) -> None:
    bad = {node.gpu_uuid(1), node.gpu_uuid(3)}
    validator.copies = (f"{node.gpu_uuid(1)} to {node.gpu_uuid(3)}: element 7 is 1, expected 0",)
    with pytest.raises(ValidationFailed, match="element 7"):
        node.engine.prepare(claim("group-4-0-1-2-3"))
    faults = node.engine.faults()
    assert {(fault.gpu_uuid, fault.reason) for fault in faults} == {(uuid, "nvlink") for uuid in bad}
    validator.copied.clear()
    assert not node.engine.revalidate(faults[0]), "each of them is well alone"
    assert [set(uuids) for uuids, _ in validator.copied] == [bad]
    node.engine.prepare(claim(node.whole(0)))
    with pytest.raises(Permanent, match="nvlink"):
        node.engine.prepare(claim(node.whole(3)))
    validator.copies = ()
    assert all(node.engine.revalidate(fault) for fault in node.engine.faults())
    assert node.engine.faults() == ()


def test_a_copy_that_does_not_come_back_may_hang_at_either_end(tmp_path: Path) -> None:
    node = Node(tmp_path, deadlines=replace(DEADLINES, validate_seconds=0.5))
    lifted = threading.Event()

    class Hanging(Scripted):
        def validate_peers(self, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
            lifted.wait(WAIT_SECONDS)
            return super().validate_peers(targets, look)

    node.engine._tools.validator = Hanging()
    with pytest.raises(Retryable, match="did not come back"):
        node.engine.prepare(claim("group-2-4-5"))
    lifted.set()
    assert {(fault.gpu_uuid, fault.reason) for fault in node.engine.faults()} == {
        (node.gpu_uuid(slot), "hung") for slot in (4, 5)
    }


def test_a_copy_that_names_nobody_quarantines_everybody(node: Node, validator: Scripted) -> None:
    validator.copies = ("cannot enable peer access",)
    with pytest.raises(ValidationFailed, match="peer access"):
        node.engine.prepare(claim("group-2-4-5"))
    assert {fault.gpu_uuid for fault in node.engine.faults()} == {node.gpu_uuid(4), node.gpu_uuid(5)}
