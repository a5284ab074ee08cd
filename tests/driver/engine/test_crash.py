"""Kills at named points, reboots, lost journals: what the next driver process makes of it."""

from __future__ import annotations

import errno
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from partita_driver.cdi.files import CdiFolder
from partita_driver.fault_points import hooked
from partita_driver.journal.copies import COPIES
from partita_plugins.backends.simulated import GpuLost
from partita_plugins.errors import PartitaError, Retryable
from partita_plugins.model.mig import Placement
from tests.driver.engine.nodes import Node, claim

PREPARE_POINTS = [
    "journal-half-written",
    "journal-written",
    "journal-half-renamed",
    "journal-renamed",
    "journal-synced",
    "intended",
    "done-enable-mig",
    "done-create-gpu-instance",
    "done-create-compute-instance",
    "made",
    "checked",
    "cdi-written",
    "cdi-renamed",
    "cdi-handed",
    "prepared",
]
UNPREPARE_POINTS = [
    "undo-intended",
    "cdi-removed",
    "undone-create-compute-instance",
    "undone-create-gpu-instance",
    "undone-enable-mig",
    "undo-done",
    "forgotten",
]


class CrashNow(BaseException):
    """The process ends here: nothing may catch it and go on."""


def crash_at(point: str) -> AbstractContextManager[None]:
    def hook(reached: str) -> None:
        if reached == point:
            raise CrashNow(point)

    return hooked(hook)


def check_owners(node: Node) -> None:
    """No partition without owner, none with two; a prepared claim has its partition and its CDI file."""
    prepared = node.engine.prepared()
    owned = sorted(
        (device.device, claim_uid)
        for claim_uid, held in prepared.items()
        for device in held.devices
        if "-mig-" in device.device
    )
    assert len(owned) == len(node.placements()), (owned, node.placements())
    assert len({name for name, _uid in owned}) == len(owned)
    assert len(node.cdi_files()) == len(prepared)
    assert node.engine.foreign_placements() == frozenset()


@pytest.mark.parametrize("point", PREPARE_POINTS)
def test_a_kill_in_prepare_leaves_nothing_that_the_next_process_cannot_mend(node: Node, point: str) -> None:
    bystander, wanted = claim(node.mig(1, "3g", 4)), claim(node.mig(0, "3g", 4))
    node.engine.prepare(bystander)
    with crash_at(point), pytest.raises(CrashNow):
        node.engine.prepare(wanted)
    node.start()
    check_owners(node)
    assert bystander.metadata.uid in node.engine.prepared()
    node.engine.prepare(wanted)
    check_owners(node)
    assert node.placements() == [(0, Placement(4, 4)), (1, Placement(4, 4))]
    for one in (bystander, wanted):
        node.engine.unprepare(one.metadata.uid)
    check_owners(node)
    assert node.placements() == []


@pytest.mark.parametrize("point", UNPREPARE_POINTS)
def test_a_kill_in_unprepare_is_finished_by_the_next_process(node: Node, point: str) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare(wanted)
    with crash_at(point), pytest.raises(CrashNow):
        node.engine.unprepare(wanted.metadata.uid)
    node.start()
    node.engine.unprepare(wanted.metadata.uid)
    check_owners(node)
    assert node.placements() == []
    assert not node.mig_enabled(0)
    node.engine.prepare(claim(node.whole(0)))


def test_a_reboot_keeps_the_place_and_the_replayed_prepare_makes_it_again(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    (before,) = node.engine.prepare(wanted)
    node.reboot()
    assert node.placements() == []
    assert node.cdi_files() == []
    with pytest.raises(PartitaError, match="overlaps"):
        node.engine.prepare(claim(node.whole(0)))
    (after,) = node.engine.prepare(wanted)
    assert node.placements() == [(0, Placement(4, 4))]
    assert after.uuid != before.uuid
    check_owners(node)


def test_a_second_restart_after_a_reboot_still_keeps_the_place(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare(wanted)
    node.reboot()
    node.start()
    assert wanted.metadata.uid in node.engine.claims()
    node.engine.unprepare(wanted.metadata.uid)
    assert dict(node.engine.claims()) == {}


def test_minor_numbers_moved_by_a_reboot_reach_the_cdi_file(tmp_path: Path) -> None:
    node = Node(tmp_path, shuffle_minors=True)
    wanted = claim(node.whole(0))
    node.engine.prepare(wanted)
    before = node.cdi(wanted.metadata.uid)
    node.reboot()
    node.engine.prepare(wanted)
    minor = node.engine.node.gpus[0].minor
    paths = {n["path"] for n in node.cdi(wanted.metadata.uid)["devices"][0]["containerEdits"]["deviceNodes"]}
    assert f"/dev/nvidia{minor}" in paths
    assert node.cdi(wanted.metadata.uid) != before


def test_cdi_files_lost_without_a_reboot_are_written_again_at_the_start(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare(wanted)
    before = node.cdi(wanted.metadata.uid)
    (node.root / "cdi" / node.cdi_files()[0]).unlink()
    (node.root / "cdi" / "gpu.partita.dev-claim_dead.json").write_text("{}")
    node.start()
    assert node.cdi(wanted.metadata.uid) == before
    assert len(node.cdi_files()) == 1


def test_a_lost_journal_is_rebuilt_from_hardware_and_cdi_files(node: Node) -> None:
    held, shared = claim(node.mig(0, "3g", 4)), claim(node.whole(2))
    for one in (held, shared):
        node.engine.prepare(one)
    for copy in COPIES:
        (node.root / "journal" / copy).write_bytes(b"\xff" * 64)
    node.start()
    assert len(node.engine.findings) == 3
    check_owners(node)
    with pytest.raises(PartitaError, match="overlaps"):
        node.engine.prepare(claim(node.whole(2)))
    assert node.engine.reconcile_claims(lambda *_: False, gone_seconds=60.0) == ()
    node.engine.unprepare(held.metadata.uid)
    node.engine.unprepare(shared.metadata.uid)
    assert node.placements() == []


def test_the_driver_starts_where_the_cdi_folder_cannot_be_written(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    (node.root / "cdi").mkdir(exist_ok=True)
    (node.root / "cdi" / "gpu.partita.dev-claim_dead.json").write_text("{}")
    (node.root / "cdi" / ".gpu.partita.dev-claim_dead.json.new").write_text("{}")

    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EROFS, "read-only file system", str(path))

    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "unlink", refuse)
        node.start()
    node.start()
    assert node.cdi_files() == []


def test_a_failed_prepare_is_undone_later_where_its_cdi_file_cannot_be_removed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Retryable("read-only file system")

    with monkeypatch.context() as read_only:
        read_only.setattr(CdiFolder, "write", refuse)
        read_only.setattr(CdiFolder, "remove", refuse)
        with pytest.raises(Retryable):
            node.engine.prepare(claim(node.mig(0, "3g", 4)))
    node.engine.reconcile()
    assert node.placements() == []
    assert node.journal.state.claims == {}


def make_foreign(node: Node) -> None:
    uuid = node.gpu_uuid(0)
    node.backend.set_mig_mode(uuid, enabled=True)
    node.backend.create_gpu_instance(uuid, 9, Placement(4, 4))


def test_instances_of_others_are_reported_and_left_alone(node: Node) -> None:
    make_foreign(node)
    node.start()
    assert node.engine.foreign_placements() == {(0, Placement(4, 4))}
    assert node.placements() == [(0, Placement(4, 4))]
    beside = claim(node.mig(0, "1g", 0))
    node.engine.prepare(beside)
    node.engine.unprepare(beside.metadata.uid)
    assert node.placements() == [(0, Placement(4, 4))]
    with pytest.raises(PartitaError, match="do not belong to a claim"):
        node.engine.prepare(claim(node.whole(0)))


def test_a_partition_of_somebody_else_is_neither_handed_out_nor_destroyed(node: Node) -> None:
    name, placements = node.mig(0, "3g", 4), [(0, Placement(4, 4))]
    uuid, profile_id = node.gpu_uuid(0), int(name.split("-")[-2])
    node.backend.set_mig_mode(uuid, enabled=True)
    made = node.backend.create_gpu_instance(uuid, profile_id, Placement(4, 4))
    node.backend.create_compute_instance(uuid, made.gpu_instance_id)
    with pytest.raises(Retryable, match="belongs to no claim"):
        node.engine.prepare(claim(name))
    assert node.placements() == placements
    assert node.journal.state.claims == {}


def test_unknown_instances_are_destroyed_where_the_settings_say_so(tmp_path: Path) -> None:
    node = Node(tmp_path, destroy_unknown=True)
    make_foreign(node)
    node.start()
    assert node.placements() == []
    assert node.engine.foreign_placements() == frozenset()


def test_slots_stay_with_their_pci_address_when_a_gpu_is_lost(node: Node) -> None:
    addresses = {slot: gpu.pci_bus_id for slot, gpu in node.engine.node.gpus.items()}
    node.backend.faults.plant(GpuLost(gpu_uuid=node.gpu_uuid(0)))
    node.start()
    assert {slot: gpu.pci_bus_id for slot, gpu in node.engine.node.gpus.items()} == {
        slot: address for slot, address in addresses.items() if slot != 0
    }
