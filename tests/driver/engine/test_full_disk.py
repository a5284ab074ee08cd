"""A full disk: nothing new is begun, everything can be given back."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from partita_driver.health.faults import Fault
from partita_driver.journal import copies
from partita_plugins.backends.simulated import GpuLost
from partita_plugins.errors import Retryable
from tests.driver.engine.nodes import Node, claim


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Call `undo()` to free space again; fill with `fill(full_disk)`."""
    return monkeypatch


def fill(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copies, "_write_durably", refuse)


def test_prepare_refuses_before_the_hardware_is_touched(node: Node, full_disk: pytest.MonkeyPatch) -> None:
    fill(full_disk)
    with pytest.raises(Retryable, match="the disk is full"):
        node.engine.prepare(claim(node.mig(0, "3g", 4)))
    assert not node.mig_enabled(0)
    assert node.placements() == []
    assert node.cdi_files() == []


def test_unprepare_works_and_the_place_is_not_given_away_unwritten(node: Node, full_disk: pytest.MonkeyPatch) -> None:
    held = claim(node.mig(0, "3g", 4))
    node.engine.prepare(held)
    fill(full_disk)
    node.engine.unprepare(held.metadata.uid)
    assert node.placements() == []
    with pytest.raises(Retryable, match="the disk is full"):
        node.engine.prepare(claim(node.mig(0, "3g", 4)))
    # The process ends before there is space: on disk the claim is still prepared.
    full_disk.undo()
    node.start()
    node.engine.unprepare(held.metadata.uid)
    assert dict(node.engine.claims()) == {}
    node.engine.prepare(claim(node.whole(0)))


def test_a_fault_is_known_at_once_and_written_when_there_is_space(node: Node, full_disk: pytest.MonkeyPatch) -> None:
    with full_disk.context() as full:
        fill(full)
        node.engine.add_faults(Fault(gpu_uuid=node.gpu_uuid(0), reason="xid-79", message="XID 79"))
        assert len(node.engine.faults()) == 1
    node.engine.prepare(claim(node.whole(1)))
    assert [fault.reason for fault in node.start().faults()] == ["xid-79"]


def test_what_is_put_off_until_a_gpu_answers_is_on_disk_or_the_kubelet_asks_again(
    node: Node, full_disk: pytest.MonkeyPatch
) -> None:
    held = claim(node.mig(0, "3g", 4))
    node.engine.prepare(held)
    lost = node.backend.faults.plant(GpuLost(gpu_uuid=node.gpu_uuid(0)))
    with full_disk.context() as full:
        fill(full)
        with pytest.raises(Retryable, match="the disk is full"):
            node.engine.unprepare(held.metadata.uid)
    node.engine.unprepare(held.metadata.uid)
    node.start()
    node.backend.faults.lift(lost)
    node.engine.refresh()
    node.engine.reconcile()
    assert node.placements() == []
    assert dict(node.engine.claims()) == {}
