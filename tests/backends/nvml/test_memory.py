"""XIDs that wait for a reset outlive the process that saw them, and no longer than their cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from partita_driver.health.classes import XIDS
from partita_driver.health.faults import Cure
from partita_plugins.backends.nvml.memory import GpuMemory, Memory, XidRecord, after_look, remembering
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.mig import Placement
from partita_plugins.model.xids import MENDED_BY_REBOOT, MENDED_BY_RESET

GPU = "GPU-1"
STOPPED = HealthEvent(gpu_uuid=GPU, kind="xid", xid=62, placements=(Placement(4, 4),))
OFF_THE_BUS = HealthEvent(gpu_uuid=GPU, kind="xid", xid=79)
OF_A_PROGRAM = HealthEvent(gpu_uuid=GPU, kind="xid", xid=13)


def test_the_driver_and_the_backend_agree_on_what_mends_an_xid() -> None:
    assert {xid for xid, row in XIDS.items() if row.cure is Cure.RESET} == MENDED_BY_RESET
    assert {xid for xid, row in XIDS.items() if row.cure is Cure.REBOOT} == MENDED_BY_REBOOT


def test_only_what_a_reset_mends_is_kept_and_each_once() -> None:
    memory = remembering(remembering(GpuMemory(), OF_A_PROGRAM, {}), STOPPED, {"energy_mj": 5})
    assert memory == GpuMemory(xids=(XidRecord(xid=62, placements=((4, 4),)),), counters={"energy_mj": 5})
    assert remembering(memory, STOPPED, {"energy_mj": 6}).xids == memory.xids


def test_what_is_kept_is_told_with_its_place() -> None:
    (record,) = remembering(GpuMemory(), STOPPED, {}).xids
    event = record.event(GPU)
    assert (event.kind, event.xid, event.placements) == ("xid", 62, STOPPED.placements)


@pytest.mark.parametrize(
    ("counters", "kept"),
    [
        ({"energy_mj": 900, "ecc_errors": 1}, {62, 79}),
        ({"energy_mj": 300, "ecc_errors": 1}, {79}),
        ({"energy_mj": 900, "ecc_errors": 0}, {79}),
        ({}, {62, 79}),
    ],
    ids=["grew", "energy-went-back", "errors-went-back", "not-told"],
)
def test_a_counter_that_goes_back_is_a_reset_and_a_reset_is_no_reboot(counters: dict[str, int], kept: set[int]) -> None:
    memory = GpuMemory()
    for event in (STOPPED, OFF_THE_BUS):
        memory = remembering(memory, event, {"energy_mj": 500, "ecc_errors": 1})
    assert {one.xid for one in after_look(memory, counters, memory).xids} == kept


def test_counters_are_compared_with_the_last_look_not_with_the_fault() -> None:
    stopped = remembering(GpuMemory(), STOPPED, {"energy_mj": 10})
    memory = after_look(stopped, {"energy_mj": 900}, stopped)
    assert after_look(memory, {"energy_mj": 50}, memory).xids == ()


def test_what_came_after_the_counters_were_read_is_not_what_the_reset_has_mended() -> None:
    seen = remembering(GpuMemory(), STOPPED, {"energy_mj": 500})
    newer = HealthEvent(gpu_uuid=GPU, kind="xid", xid=95)
    memory = remembering(seen, newer, {"energy_mj": 300})
    assert {one.xid for one in after_look(memory, {"energy_mj": 200}, seen).xids} == {95}


def test_a_restart_remembers_and_a_reboot_forgets(tmp_path: Path) -> None:
    path = tmp_path / "nvml" / "memory.json"
    Memory(path, "boot-1").change(GPU, lambda memory: remembering(memory, STOPPED, {}))
    Memory(path, "boot-1").saw((GPU, "GPU-2"))
    restarted = Memory(path, "boot-1")
    assert [one.xid for one in restarted.gpu(GPU).xids] == [62]
    assert restarted.uuids == (GPU, "GPU-2")
    rebooted = Memory(path, "boot-2")
    assert (rebooted.gpu(GPU), rebooted.uuids) == (GpuMemory(), ())


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    path.write_text('{"boot_id": "boot-1", "gp')
    assert Memory(path, "boot-1").change(GPU, lambda memory: remembering(memory, STOPPED, {})).xids
    assert Memory(path, "boot-1").gpu(GPU).xids


def test_a_disk_that_takes_nothing_loses_nothing_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    memory = Memory(path / "not-a-folder", "boot-1")
    path.write_text("")
    memory.change(GPU, lambda before: remembering(before, STOPPED, {}))
    assert memory.gpu(GPU).xids
