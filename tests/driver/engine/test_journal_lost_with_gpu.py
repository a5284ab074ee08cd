"""The journal is lost while a GPU does not answer: what claims have there is known by name, and waits for the GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from partita_driver.engine.lost_journal.recall import Recalled
from partita_driver.engine.reconcile import foreign_instances
from partita_driver.engine.rules import refuse_overlap
from partita_driver.fault_points import hooked
from partita_driver.journal.records import ClaimRecord, DeviceRecord, JournalState
from partita_driver.lifecycle import ClaimState
from partita_driver.slices.pool import PoolInputs, Published, desired_pool
from partita_plugins.backends.simulated import Fault, GpuLost, HungCall
from partita_plugins.errors import PartitaError, Retryable
from partita_plugins.model.offer import DeviceKind, Offer
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, ResourceClaim
from tests.driver.engine.nodes import NODE, QUICK, Node, claim, result, time_slice_config
from tests.driver.engine.test_exchanged_gpu import exchange

SHARE = "b5a8e0c4-0000-4000-8000-000000000001"
HELD: dict[str, Callable[[Node], ResourceClaim]] = {
    "partition": lambda node: claim(node.mig(0, "3g", 4)),
    "whole": lambda node: claim(node.whole(0)),
    "group": lambda _node: claim("group-2-0-1"),
    "share": lambda node: claim(result(node.shared(0), shareID=SHARE), config=time_slice_config("Short")),
    "on two GPUs": lambda node: claim(result(node.mig(0, "3g", 4), "a"), result(node.mig(1, "3g", 4), "b")),
}
LEAVES_TRACES = ("partition", "share", "on two GPUs")
FAULTS: dict[str, Callable[[str], Fault]] = {
    "lost": lambda uuid: GpuLost(gpu_uuid=uuid),
    "hangs": lambda uuid: HungCall(gpu_uuid=uuid, call="*"),
}


@dataclass
class World:
    """A node with one prepared claim on GPU 0, and an API server that has it."""

    node: Node
    kind: str
    planted: str = ""
    in_api: bool = True

    def __post_init__(self) -> None:
        self.node.recall = self.recall
        self.held = HELD[self.kind](self.node)
        self.node.engine.prepare(self.held)
        self.uid = self.held.metadata.uid
        self.gpu = self.node.gpu_uuid(0)
        told = [AllocatedDeviceStatus(driver=DRIVER_NAME, pool=pool_name(NODE), device="told")]
        self.told = msgspec.structs.replace(self.held, status=msgspec.structs.replace(self.held.status, devices=told))
        self.before = self.node.instances()
        inputs = PoolInputs(node_name=NODE, node=self.node.engine.node, offer=Offer())
        contents = desired_pool(inputs, Published(), frozenset())
        self.slices = tuple(device for content in contents for device in content.devices)

    def recall(self) -> Recalled:
        return Recalled(devices=self.slices, claims=(self.told,) if self.in_api else ())

    def lose_files(self) -> None:
        for path in (self.node.root / "cdi").iterdir():
            path.unlink()

    def restart_without_journal(self, fault: Fault) -> None:
        self.planted = self.node.backend.faults.plant(fault)
        self.node.lose_journal()
        self.node.start()
        self.node.engine.confirm()
        self.node.engine.reconcile()

    def answer(self) -> bool:
        """The GPU answers again, and the driver looks; does it see a change?"""
        self.node.backend.faults.lift(self.planted)
        while self.node.engine.hung():
            time.sleep(0.005)
        return self.node.engine.refresh()

    def heal(self) -> None:
        self.answer()
        self.node.engine.reconcile()

    def holds(self, _namespace: str, _name: str, _uid: str) -> bool:
        return self.in_api

    def points_of_prepare(self) -> list[str]:
        points: list[str] = []
        with hooked(points.append):
            self.node.engine.prepare(self.held)
        return points

    @property
    def record(self) -> ClaimRecord:
        return self.node.journal.state.claims[self.uid]

    def expect_nothing(self) -> None:
        assert self.node.journal.state.claims == {}
        assert (self.node.placements(), self.node.cdi_files(), self.node.time_slice(0)) == ([], [], "Default")
        assert self.node.engine.foreign_placements() == frozenset()


@pytest.fixture(params=HELD)
def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    return World(Node(tmp_path, deadlines=QUICK, destroy_unknown=True), request.param)


partition = pytest.mark.parametrize("world", ["partition"], indirect=True)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_claim_waits_for_its_gpu_and_its_pod_runs_on(world: World, fault: Callable[[str], Fault]) -> None:
    file = world.node.cdi(world.uid)
    world.restart_without_journal(fault(world.gpu))
    assert world.record.state is ClaimState.PREPARED
    assert "1 of them on GPUs that do not answer" in world.node.engine.findings[0]
    assert world.node.cdi(world.uid) == file
    assert world.answer()
    assert (world.record.state, world.record.unseen) == (ClaimState.PREPARED, False)
    world.node.engine.reconcile()
    assert world.node.engine.foreign_placements() == frozenset()
    assert "made" not in world.points_of_prepare()
    assert (world.node.instances(), world.node.cdi(world.uid)) == (world.before, file)
    world.node.engine.unprepare(world.uid)
    world.expect_nothing()


def test_given_back_meanwhile_what_it_has_is_undone_when_the_gpu_answers(world: World) -> None:
    world.restart_without_journal(GpuLost(gpu_uuid=world.gpu))
    world.node.engine.unprepare(world.uid)
    assert world.node.cdi_files() == []
    states = {known.state for known in world.node.journal.state.claims.values()}
    assert states == ({ClaimState.UNDOING} if world.kind in LEAVES_TRACES else set())
    world.node.start()
    world.heal()
    world.expect_nothing()


def test_gone_from_the_api_it_is_given_back_in_time(world: World) -> None:
    world.in_api = False
    world.restart_without_journal(GpuLost(gpu_uuid=world.gpu))
    assert world.node.engine.reconcile_claims(world.holds, gone_seconds=60.0) == ()
    assert len(world.node.cdi_files()) == 1
    world.node.engine.reconcile_claims(world.holds)
    assert world.node.cdi_files() == []
    world.heal()
    world.expect_nothing()


@partition
@pytest.mark.parametrize("unlike", [{}, {"mig": None}], ids=["same kind", "without MIG"])
def test_it_can_be_given_back_when_another_gpu_sits_in_the_place_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch, unlike: dict[str, Any]
) -> None:
    world.restart_without_journal(GpuLost(gpu_uuid=world.gpu))
    exchange(world.node, world.gpu, monkeypatch, **unlike)
    assert world.record.state is ClaimState.INTENDED
    world.node.engine.unprepare(world.uid)
    assert world.node.journal.state.claims == {}
    world.node.engine.prepare(claim(world.node.whole(0)))


@pytest.mark.parametrize("world", LEAVES_TRACES, indirect=True)
def test_without_its_file_it_is_found_by_the_api_and_never_validated_under_its_pod(world: World) -> None:
    world.lose_files()
    world.restart_without_journal(GpuLost(gpu_uuid=world.gpu))
    assert (world.record.state, world.record.unseen) == (ClaimState.PREPARED, True)
    with pytest.raises(PartitaError):
        world.node.engine.prepare(world.held)
    world.node.backend.machine.files.update(world.gpu, lambda gpu: msgspec.structs.replace(gpu, time_slice="Default"))
    world.heal()
    assert len(world.node.cdi_files()) == 1
    assert world.node.time_slice(0) == ("Short" if world.held.status.allocation.devices.config else "Default")  # type: ignore[union-attr]
    assert "made" not in world.points_of_prepare()
    world.node.engine.unprepare(world.uid)
    world.expect_nothing()


@partition
def test_a_claim_that_waits_for_the_device_of_a_deleted_pod_is_not_taken_for_its_owner(world: World) -> None:
    successor = claim(world.held.status.allocation.devices.results[0].device)  # type: ignore[union-attr]
    world.told = successor
    world.restart_without_journal(GpuLost(gpu_uuid=world.gpu))
    assert list(world.node.journal.state.claims) == [world.uid]
    world.heal()
    with pytest.raises(Retryable, match="overlaps"):
        world.node.engine.prepare(successor)


@partition
def test_a_gpu_that_lists_no_partitions_is_not_asked_for_a_validation(world: World) -> None:
    world.lose_files()
    world.restart_without_journal(HungCall(gpu_uuid=world.gpu, call="gpu_instances"))
    assert (world.record.state, world.record.unseen) == (ClaimState.PREPARED, True)
    with pytest.raises(Retryable, match="does not answer"):
        world.node.engine.prepare(world.held)
    world.heal()
    assert "made" not in world.points_of_prepare()
    assert world.node.instances() == world.before


@partition
def test_a_partition_that_went_with_its_gpu_is_made_again(world: World) -> None:
    world.restart_without_journal(GpuLost(gpu_uuid=world.gpu))
    world.node.backend.machine.reset(world.gpu)
    world.heal()
    assert (world.record.state, world.record.remake) == (ClaimState.INTENDED, True)
    assert world.node.cdi_files() == []
    assert "made" in world.points_of_prepare()
    assert world.record.state is ClaimState.PREPARED


@partition
def test_a_reboot_meanwhile_keeps_the_place(world: World) -> None:
    world.restart_without_journal(GpuLost(gpu_uuid=world.gpu))
    world.node.reboot()
    world.heal()
    assert (world.record.state, world.record.remake, world.record.unseen) == (ClaimState.INTENDED, True, False)
    assert "made" in world.points_of_prepare()


NAMED = DeviceRecord(request="", device="held", kind=DeviceKind.SHARED, slots=(), gpu_uuids=("0000:07:00.0",))
WANTED = DeviceRecord(request="", device="wanted", kind=DeviceKind.SHARED, slots=(3,), gpu_uuids=("GPU-3",))


def test_nothing_on_a_gpu_is_given_away_before_what_claims_have_there_is_known() -> None:
    state = JournalState(slots={"0000:07:00.0": 3, "0000:08:00.0": 4}).with_claim(
        ClaimRecord(uid="held", state=ClaimState.PREPARED, devices=(NAMED,), unseen=True)
    )
    with pytest.raises(Retryable, match="held"):
        refuse_overlap(state, ClaimRecord(uid="wanted", devices=(WANTED,)))
    elsewhere = msgspec.structs.replace(WANTED, slots=(4,), gpu_uuids=("GPU-4",))
    refuse_overlap(state, ClaimRecord(uid="wanted", devices=(elsewhere,)))


@partition
def test_a_partition_is_nobody_s_only_when_all_claims_of_its_gpu_are_known(world: World) -> None:
    """A GPU is seen a moment before the journal names what claims have there."""
    world.restart_without_journal(GpuLost(gpu_uuid=world.gpu))
    named = world.record
    world.heal()
    world.node.journal.change(lambda state: state.with_claim(named))
    assert foreign_instances(world.node.engine._tools, destroy=True) == frozenset()
    assert world.node.instances() == world.before
