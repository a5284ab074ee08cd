"""Uninstalling a node on which the driver has worked: nothing of it stays, whatever does not answer meanwhile."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest
from click.testing import CliRunner

from partita_driver import cleanup
from partita_driver.api.node_condition import write_condition
from partita_driver.cleanup import Removal, clean_up
from partita_driver.hardware.workers import Deadlines
from partita_driver.journal.store import read_boot_id
from partita_driver.kubelet.sockets import socket_paths, sockets_of_any_instance
from partita_driver.main import cli
from partita_driver.opening.opened import open_backend
from partita_driver.opening.options import Options, StateLock
from partita_plugins.backends.simulated import GpuLost, HungCall
from partita_plugins.model.mig import Placement
from partita_plugins.testing.nvml import installed
from partita_plugins.wire import DRIVER_NAME
from tests.driver.edge.worlds import MIXED, NODE, Pooled, node_options, pooled, slotted
from tests.driver.engine.nodes import Node, claim, result, time_slice_config
from tests.waiting import WAIT_SECONDS

UID = "11111111-2222-3333-4444-555555555555"
ONLY_THE_SHORTEST_FITS = 71
"""Characters of a registry's path."""


@pytest.fixture
def node(short_path: Path) -> Node:
    made = Node(short_path, boot_id=read_boot_id())
    (short_path / "nodes.yaml").write_text("nodes: []")
    return made


@pytest.fixture
def api(short_path: Path) -> Iterator[Pooled]:
    with pooled(short_path, slotted(), MIXED) as made:
        publisher = made.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        publisher.stop()
        write_condition(made.api, NODE, ())
        yield made


def options(root: Path) -> Options:
    """Of a driver on the node that the engine has worked on."""
    return node_options(root, simulated_dir=root / "hardware", state_dir=root)


def outcomes(rows: list[Removal], kind: str) -> list[str]:
    return [row.outcome.partition(":")[0] for row in rows if row.kind == kind]


def left_behind(path: Path) -> None:
    """A socket that nobody listens on any more, as a killed process leaves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(path))


def use(node: Node) -> None:
    shared = result(node.shared(2), shareID="b5a8e0c4-0000-4000-8000-000000000001")
    for one in (claim(node.mig(0, "3g", 4)), claim(node.whole(1)), claim(shared, config=time_slice_config("Short"))):
        node.engine.prepare(one)
    (node.root / "cdi" / f".{DRIVER_NAME}-claim_x.json.new").write_text("{")


def is_as_found(node: Node) -> bool:
    kept = {path.name for path in node.root.iterdir() if not (path.is_dir() and not any(path.iterdir()))}
    assert (node.placements(), node.mig_enabled(0), node.time_slice(2)) == ([], False, "Default")
    return kept <= {"hardware", "kubeconfig"}


def test_nothing_is_left_and_the_second_time_there_is_nothing_to_do(node: Node, api: Pooled) -> None:
    use(node)
    for pod_uid in ("", UID):
        paths = socket_paths(DRIVER_NAME, node.root / "registry", node.root / "plugin", pod_uid)
        left_behind(paths.registrar)
        left_behind(paths.plugin)
    other = node.root / "registry" / "gpu.example.com-reg.sock"
    left_behind(other)
    rows = list(clean_up(options(node.root), force=True))
    assert {row.outcome for row in rows} == {"removed"}, rows
    assert len(outcomes(rows, "socket")) == 4
    assert len(outcomes(rows, "condition")) == 1
    assert other.is_socket(), "another driver's"
    other.unlink()
    assert api.slices() == []
    assert is_as_found(node)
    assert list(clean_up(options(node.root), force=True)) == []
    assert is_as_found(node)


def test_what_was_remembered_of_real_gpus_goes_too(
    short_path: Path, api: Pooled, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware = installed(short_path / "machine", "l40s-x8", seed=NODE)
    for name, value in hardware.environment.items():
        monkeypatch.setenv(name, value)
    real = replace(options(short_path), backend="nvml", driver_root=hardware.root)
    with closing(open_backend(real)) as backend:  # type: ignore[type-var]
        assert backend.gpu_uuids()
    assert any((short_path / "nvml").iterdir())
    rows = list(clean_up(real, force=True))
    pynvml.nvmlShutdown()  # It ends with its process, and this one has further machines to look at.
    assert {row.outcome for row in rows} == {"removed"}, rows
    assert not (short_path / "nvml").exists()
    assert api.slices() == []


def test_a_registrar_whose_name_does_not_say_whose_it_is_goes_with_its_plugin(short_path: Path) -> None:
    registry = short_path / ("x" * (ONLY_THE_SHORTEST_FITS - len(str(short_path)) - 1))
    paths = socket_paths(DRIVER_NAME, registry, short_path / "plugin", UID)
    assert paths.registrar.name.startswith("dra-"), paths.registrar
    left_behind(paths.registrar)
    left_behind(paths.plugin)
    found = sockets_of_any_instance(DRIVER_NAME, registry, short_path / "plugin")
    assert set(found) == {paths.registrar, paths.plugin}


def test_without_an_api_server_all_that_is_on_the_node_goes(node: Node, api: Pooled) -> None:
    use(node)
    api.server.stop()
    rows = list(clean_up(options(node.root), force=True))
    assert outcomes(rows, "claim") == ["removed"] * 3
    assert outcomes(rows, "ResourceSlice") == ["failed"]
    assert is_as_found(node)
    api.server.start()
    assert set(outcomes(list(clean_up(options(node.root), force=True)), "ResourceSlice")) == {"removed"}


def test_a_lost_gpu_keeps_its_claims_alone(node: Node, api: Pooled) -> None:
    use(node)
    planted = node.backend.faults.plant(GpuLost(gpu_uuid=node.gpu_uuid(0)))
    rows = list(clean_up(options(node.root), force=True))
    assert sorted(outcomes(rows, "claim")) == ["failed", "removed", "removed"]
    assert any("does not answer" in row.outcome for row in rows)
    assert outcomes(rows, "folder") == ["kept"]
    assert api.slices() == []
    node.backend.faults.lift(planted)
    assert outcomes(list(clean_up(options(node.root), force=True)), "claim") == []
    assert is_as_found(node)


def test_a_gpu_that_hangs_keeps_its_claims_alone(node: Node, api: Pooled, monkeypatch: pytest.MonkeyPatch) -> None:
    use(node)
    planted = node.backend.faults.plant(HungCall(gpu_uuid=node.gpu_uuid(0), call="*"))
    with monkeypatch.context() as impatient:
        impatient.setattr(cleanup, "Deadlines", lambda: Deadlines(call_seconds=2.0, discover_seconds=2.0))
        rows = list(clean_up(options(node.root), force=True))
    assert sorted(outcomes(rows, "claim")) == ["failed", "removed", "removed"]
    assert outcomes(rows, "folder") == ["kept"]
    assert set(outcomes(rows, "ResourceSlice")) == {"removed"}
    node.backend.faults.lift(planted)
    assert {row.outcome for row in clean_up(options(node.root), force=True)} == {"removed"}
    assert is_as_found(node)


def test_a_partition_of_somebody_else_is_named_and_stays(node: Node, api: Pooled) -> None:
    node.backend.set_mig_mode(node.gpu_uuid(3), enabled=True)
    node.backend.create_gpu_instance(node.gpu_uuid(3), 9, Placement(4, 4))
    rows = list(clean_up(options(node.root), force=True))
    [row] = [row for row in rows if row.kind == "partition"]
    assert (row.name, row.outcome.partition(":")[0]) == ("GPU in slot 3, memory slices 4 to 7", "kept")
    assert node.placements() == [(3, Placement(4, 4))]


def test_a_socket_that_a_process_listens_on_stays(node: Node, api: Pooled) -> None:
    path = node.root / "plugin" / "dra.sock"
    path.parent.mkdir()
    with closing(socket.socket(socket.AF_UNIX)) as served:
        served.bind(str(path))
        served.listen()
        assert outcomes(list(clean_up(options(node.root), force=True)), "socket") == ["kept"]
        assert path.is_socket()


def test_a_lock_whose_file_was_removed_is_not_taken_for_the_lock(short_path: Path) -> None:
    first, late = StateLock(short_path), StateLock(short_path)
    assert first.try_acquire()
    descriptor = late._open()
    first.remove()
    assert not late._is_current(descriptor)
    assert StateLock(short_path).try_acquire()


def test_help_says_in_which_order_to_uninstall() -> None:
    text = CliRunner().invoke(cli, ["cleanup", "--help"]).output
    said = ("delete the pods", "delete daemonset", "on every GPU node", "delete -k")
    steps = [text.index(step) for step in said]
    assert steps == sorted(steps)
