"""What uninstalling removes, and what it keeps while a pod may use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from partita_driver.cdi.lint import CdiMount, ContainerEdits
from partita_driver.cdi.toolkit import Toolkit
from partita_driver.cleanup import clean_up
from partita_driver.engine import PreparedClaim
from partita_driver.journal.store import Journal, read_boot_id
from partita_driver.lifecycle import ClaimState
from partita_driver.main import cli
from partita_driver.metrics import Metrics
from partita_driver.node_engine import node_engine
from partita_driver.opening.opened import open_backend
from partita_driver.opening.options import StateLock
from partita_plugins.errors import Retryable
from tests.driver.edge.one_claim import DEVICE
from tests.driver.edge.running import FakeEngine
from tests.driver.edge.worlds import MIXED, NODE, Pooled, node_options, pooled, slotted
from tests.driver.engine.nodes import claim, result

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


def test_the_cdi_file_of_a_pod_that_stays_keeps_the_driver_s_libraries(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A monitor's file is written again by whoever reconciles, and its pod's containers may start again."""
    libcuda = ContainerEdits(mounts=[CdiMount(host_path="/usr", container_path="/usr/lib/libcuda.so.1")])
    monkeypatch.setattr(Toolkit, "common_edits", lambda _toolkit, _version: libcuda)
    options = node_options(short_path, toolkit="/usr/bin/nvidia-ctk")
    wanted = claim(result("monitor", adminAccess=True))
    with pooled(short_path, slotted(), MIXED) as world:
        engine = node_engine(
            options,
            backend=open_backend(options),
            validator=None,
            journal=Journal(options.journal_dir, boot_id=read_boot_id()),
            kube=world.api,
            metrics=Metrics(),
            validates=lambda _moment: True,
            on_faults=lambda _faults: None,
        )
        engine.start()
        engine.prepare(wanted)
        engine.close(0.0)
        file = short_path / "cdi" / f"gpu.partita.dev-claim_{wanted.metadata.uid}.json"
        before = file.read_bytes()
        rows = list(clean_up(options, force=False))
    assert [row.outcome.partition(":")[0] for row in rows if row.kind == "claim"] == ["kept"]
    assert b"libcuda" in before
    assert file.read_bytes() == before
