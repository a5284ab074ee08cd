"""Hardware that does not do as it says: partitions that stay, modes that only a reset can change, files that vanish."""

from __future__ import annotations

from pathlib import Path

import pytest

from partita_driver.lifecycle import ClaimState
from partita_plugins.errors import Permanent, Retryable
from partita_plugins.model.mig import Placement
from tests.driver.engine.nodes import Node, claim


def test_a_partition_that_stays_after_it_was_destroyed_is_not_forgotten(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = claim(node.mig(0, "3g", 4))
    node.engine.prepare(held)
    with monkeypatch.context() as lying:
        lying.setattr(node.backend, "destroy_gpu_instance", lambda *_: None)
        with pytest.raises(Retryable, match="still there after it was destroyed"):
            node.engine.unprepare(held.metadata.uid)
    assert node.engine.claims()[held.metadata.uid].state is ClaimState.UNDOING
    with pytest.raises(Retryable, match="overlaps"):
        node.engine.prepare(claim(node.mig(0, "1g", 5)))
    node.engine.reconcile()
    assert node.placements() == []
    assert dict(node.engine.claims()) == {}


def test_a_mode_that_only_a_reset_can_change_is_never_switched(tmp_path: Path) -> None:
    node = Node(tmp_path, machine="a30-x4")
    node.backend.machine.switch_mig(node.gpu_uuid(0), enabled=True)
    node.start()
    held = claim(node.mig(0, "2g", 2))
    node.engine.prepare(held)
    with pytest.raises(Permanent, match="needs a reset to switch it on"):
        node.engine.prepare(claim(node.mig(1, "2g", 2)))
    node.engine.unprepare(held.metadata.uid)
    node.start()
    modes = [node.backend.machine.files.load(node.gpu_uuid(slot)) for slot in (0, 1)]
    assert [(one.mig_enabled, one.mig_pending) for one in modes] == [(True, True), (False, False)]


def test_a_cdi_file_lost_while_the_driver_runs_is_written_again_and_an_orphan_removed(node: Node) -> None:
    held = claim(node.mig(0, "3g", 4))
    node.engine.prepare(held)
    before = node.cdi(held.metadata.uid)
    (node.root / "cdi" / node.cdi_files()[0]).unlink()
    (node.root / "cdi" / "gpu.partita.dev-claim_dead.json").write_text("{}")
    node.engine.reconcile()
    assert node.cdi(held.metadata.uid) == before
    assert len(node.cdi_files()) == 1
    assert node.placements() == [(0, Placement(4, 4))]
