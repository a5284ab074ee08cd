"""What uninstalling removes, and what it keeps while a pod may use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from partita_driver.cleanup import clean_up
from partita_driver.engine import PreparedClaim
from partita_driver.lifecycle import ClaimState
from partita_driver.main import cli
from partita_driver.opening.options import StateLock
from partita_plugins.errors import Retryable
from tests.driver.edge.one_claim import DEVICE
from tests.driver.edge.running import FakeEngine
from tests.driver.edge.worlds import MIXED, NODE, Pooled, node_options, pooled, slotted

IN_USE = PreparedClaim(uid="u1", namespace="default", name="train", state=ClaimState.PREPARED, devices=(DEVICE,))
HALF_DONE = replace(IN_USE, uid="u2", name="torn", state=ClaimState.MADE)


class Engine(FakeEngine):
    """An engine that remembers two claims."""

    def claims(self) -> Mapping[str, PreparedClaim]:
        return {uid: one for uid, one in {"u1": IN_USE, "u2": HALF_DONE}.items() if uid not in self.unprepared}


@pytest.fixture
def world(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pooled]:
    monkeypatch.setattr("partita_driver.cleanup.ClaimEngine", Engine)
    with pooled(short_path, slotted(), MIXED) as made:
        publisher = made.publisher()
        assert publisher.publish_now(5)
        publisher.stop()
        yield made


def test_what_pods_may_use_is_kept_with_the_memory_of_it(short_path: Path, world: Pooled) -> None:
    rows = list(clean_up(node_options(short_path), force=False))
    outcomes = {row.name.split(" ")[0]: row.outcome.partition(":")[0] for row in rows}
    assert outcomes["default/train"] == "kept"
    assert outcomes["default/torn"] == "removed"
    assert FakeEngine.latest.unprepared == ["u2"]
    assert node_options(short_path).journal_dir.exists()
    assert world.slices() == []


def test_force_removes_everything(short_path: Path, world: Pooled) -> None:
    rows = list(clean_up(node_options(short_path), force=True))
    assert {row.outcome for row in rows} == {"removed"}
    assert FakeEngine.latest.unprepared == ["u1", "u2"]
    assert not node_options(short_path).journal_dir.exists()


def test_a_running_driver_is_not_cleaned_up_under(short_path: Path, world: Pooled) -> None:
    lock = StateLock(short_path / "state")
    lock.acquire()
    with pytest.raises(Retryable, match="stop the driver"):
        list(clean_up(node_options(short_path), force=True))
    lock.release()


def test_the_command_prints_a_table(short_path: Path, world: Pooled) -> None:
    paths = [f"--{name}={short_path / name}" for name in ("state-dir", "cdi-dir", "plugin-dir", "registry-dir")]
    node = [
        f"--node-name={NODE}",
        "--backend=simulated",
        "--machine=hgx-h100",
        f"--kubeconfig={short_path / 'kubeconfig'}",
    ]
    run = CliRunner().invoke(cli, ["cleanup", *node, *paths])
    assert run.exit_code == 0, run.output
    assert "kept     default/train (gpu-0000-07-00-0)  (a pod may be using it" in run.output
    assert "ResourceSlice  removed  00-gpu.partita.dev-node-a" in run.output
