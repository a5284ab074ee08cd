"""What a driver finds at its start or from time to time, and what it makes of it: one row for each case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from partita_driver.fault_points import hooked
from partita_driver.health.faults import Fault
from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import GpuLost
from partita_plugins.errors import PartitaError, Retryable
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus
from tests.driver.engine.losses import (
    PLACE,
    World,
    claim_deallocated,
    claim_gone,
    claim_replaced,
    file_lost,
    file_orphaned,
    journal_and_claim_lost_partition_there,
    journal_and_file_lost,
    journal_file_and_status_lost,
    journal_lost,
    journal_lost_and_claim_gone,
    journal_lost_and_rebooted,
    journal_lost_before_prepare,
    journal_lost_half_made,
    killed_between_instances,
    made_by_somebody_else,
    prepared,
    rebooted,
    rebooted_and_claim_gone,
    temporary_files,
)
from tests.driver.engine.nodes import NODE, claim, new_uid, result, time_slice_config


@dataclass(frozen=True)
class Expected:
    """State of the claim's record, and what is on the node."""

    state: ClaimState | None
    partition: bool
    file: bool
    foreign: bool = False
    validated: bool = True
    """Whether the Prepare that comes next validates: never where a pod may be running."""


GONE = Expected(None, partition=False, file=False)
KEPT = Expected(ClaimState.PREPARED, partition=True, file=True, validated=False)
PLACE_KEPT = Expected(ClaimState.INTENDED, partition=False, file=False)
NOT_OURS = Expected(None, partition=True, file=False, foreign=True)
CASES: dict[Callable[[World], None], Expected] = {
    prepared: KEPT,
    killed_between_instances: GONE,
    made_by_somebody_else: NOT_OURS,
    claim_gone: GONE,
    claim_deallocated: GONE,
    claim_replaced: GONE,
    file_lost: KEPT,
    file_orphaned: GONE,
    temporary_files: KEPT,
    rebooted: PLACE_KEPT,
    rebooted_and_claim_gone: GONE,
    journal_lost: KEPT,
    journal_lost_and_claim_gone: GONE,
    journal_and_file_lost: KEPT,
    journal_file_and_status_lost: KEPT,
    journal_lost_before_prepare: GONE,
    journal_lost_half_made: replace(PLACE_KEPT, partition=True),
    journal_lost_and_rebooted: PLACE_KEPT,
    journal_and_claim_lost_partition_there: NOT_OURS,
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_is_found_at_the_start(world: World, case: Callable[[World], None]) -> None:
    expected = CASES[case]
    case(world)
    world.restart()
    record = world.node.journal.state.claims.get(world.uid)
    assert (record.state if record else None) == expected.state
    assert world.node.placements() == (PLACE if expected.partition else [])
    assert len(world.node.cdi_files()) == (1 if expected.file else 0)
    assert world.node.engine.foreign_placements() == (set(PLACE) if expected.foreign else set())
    assert not list((world.root / "journal").glob(".*"))
    if record is not None:
        assert record.name, "it can be looked up in the API"
    if expected.foreign:
        with pytest.raises(Retryable, match="belongs to no claim"):
            world.node.engine.prepare(world.held)
        return
    points: list[str] = []
    with hooked(points.append):
        world.node.engine.prepare(world.held)
    assert ("made" in points) == expected.validated
    world.node.engine.unprepare(world.uid)
    assert (world.node.placements(), world.node.cdi_files()) == ([], [])


@pytest.mark.parametrize(
    "case", [claim_gone, claim_deallocated, claim_replaced, file_lost], ids=lambda case: case.__name__
)
def test_what_is_found_from_time_to_time(world: World, case: Callable[[World], None]) -> None:
    case(world)
    world.look()
    record = world.node.journal.state.claims.get(world.uid)
    assert (record.state if record else None) == CASES[case].state
    assert len(world.node.cdi_files()) == (1 if CASES[case].file else 0)


def test_a_claim_gone_while_the_journal_was_lost_is_kept_while_its_container_may_still_end(world: World) -> None:
    journal_lost_and_claim_gone(world)
    world.node.start()
    world.node.engine.confirm()
    world.node.engine.reconcile()
    assert world.node.engine.reconcile_claims(world.holds, gone_seconds=60.0) == ()
    assert list(world.node.engine.prepared()) == [world.uid]
    assert len(world.node.cdi_files()) == 1
    assert world.node.engine.reconcile_claims(world.holds) == (world.uid,)
    assert (world.node.placements(), world.node.cdi_files()) == ([], [])


def test_a_claim_that_waits_for_the_device_of_a_deleted_pod_is_not_taken_for_its_owner(world: World) -> None:
    claim_replaced(world)
    world.node.lose_journal()
    world.node.start()
    world.node.engine.confirm()
    assert list(world.node.journal.state.claims) == [world.uid]
    [successor] = world.claims.values()
    with pytest.raises(Retryable, match="overlaps"):
        world.node.engine.prepare(successor)


def test_a_quarantine_outlives_the_journal(world: World) -> None:
    fault = Fault(gpu_uuid=world.node.gpu_uuid(0), reason="validation", message="", start=4, size=4)
    world.node.engine.add_faults(fault)
    world.publish()
    world.node.lose_journal()
    world.restart()
    [known] = world.node.engine.faults()
    assert known.key == fault.key
    assert "1 quarantines" in world.node.engine.findings[0]
    with pytest.raises(PartitaError, match="quarantined"):
        world.node.engine.prepare(world.held)


def test_slots_outlive_the_journal_and_a_gpu_that_is_lost(world: World) -> None:
    world.publish()
    before = dict(world.node.journal.state.slots)
    world.node.backend.faults.plant(GpuLost(gpu_uuid=world.node.gpu_uuid(2)))
    world.node.lose_journal()
    world.restart()
    assert world.node.journal.state.slots == before


@pytest.mark.parametrize("case", [journal_lost, journal_and_file_lost], ids=lambda case: case.__name__)
def test_without_an_api_server_nothing_is_given_away_or_destroyed(world: World, case: Callable[[World], None]) -> None:
    case(world)
    file_orphaned(world)
    world.node.destroy_unknown = world.api_is_gone = True
    for _ in range(2):
        world.node.start()
        world.node.engine.reconcile()
        assert world.node.engine.unconfirmed
        assert world.node.placements() == PLACE
        assert len(world.node.cdi_files()) == (2 if case is journal_lost else 1)
        with pytest.raises(Retryable, match="no answer"):
            world.node.engine.prepare(claim(world.node.whole(3)))
        with pytest.raises(Retryable, match="journal was lost"):
            world.node.engine.unprepare(new_uid())
    world.api_is_gone = False
    world.look()
    assert list(world.node.engine.prepared()) == [world.uid]
    assert len(world.node.cdi_files()) == 1
    world.node.engine.unprepare(world.uid)
    assert world.node.placements() == []


def test_without_an_api_server_a_claim_known_by_its_file_is_given_back(world: World) -> None:
    journal_lost(world)
    world.api_is_gone = True
    world.node.start()
    world.node.engine.unprepare(world.uid)
    assert (world.node.placements(), world.node.journal.state.claims) == ([], {})
    world.api_is_gone = False
    world.look()
    [record] = world.node.journal.state.claims.values()
    assert (record.state, world.node.placements()) == (ClaimState.INTENDED, []), "it is still allocated: its place is"
    world.deallocate()
    world.look()
    assert world.node.journal.state.claims == {}


def test_a_share_found_by_the_api_alone_has_its_time_slice_set_again(world: World) -> None:
    shares = [claim(result(world.node.shared(1)), config=time_slice_config("Short")) for _ in range(2)]
    for held in shares:
        world.node.engine.prepare(held)
        told = [AllocatedDeviceStatus(driver=DRIVER_NAME, pool=pool_name(NODE), device="told")]
        status = msgspec.structs.replace(held.status, devices=told)
        world.claims[held.metadata.uid] = msgspec.structs.replace(held, status=status)
    journal_lost(world)
    world.node.reboot()
    assert world.node.time_slice(1) == "Default"
    world.look()
    assert world.node.engine.prepared().keys() == {held.metadata.uid for held in shares}
    assert world.node.time_slice(1) == "Short"


def test_a_new_node_has_lost_nothing(world: World) -> None:
    assert world.node.engine.findings == ()
