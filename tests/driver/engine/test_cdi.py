"""CDI files: grammar, versions, atomic, never without a device node."""

from __future__ import annotations

import errno
from pathlib import Path

import msgspec
import pytest

from partita_driver.cdi.files import CdiFolder, environment
from partita_driver.cdi.lint import CDI_KIND, CdiDevice, CdiMount, CdiNode, CdiSpec, ContainerEdits, lint, version_for
from partita_plugins.errors import Retryable
from partita_plugins.model.instances import DeviceNode
from tests.driver.engine.nodes import Node, claim

NULL = CdiNode.of(DeviceNode(path="/dev/nvidia0", host_path="/dev/null", major=1, minor=3))
UID = "00000000-0000-4000-8000-00000000cd1a"


def device(name: str = "0-gpu", *nodes: CdiNode) -> CdiDevice:
    return CdiDevice(name=name, container_edits=ContainerEdits(device_nodes=list(nodes)))


def spec(*devices: CdiDevice, kind: str = CDI_KIND) -> CdiSpec:
    return CdiSpec(cdi_version="0.5.0", kind=kind, devices=list(devices))


def test_a_sound_spec_has_no_findings() -> None:
    assert lint(spec(device("0-gpu", NULL))) == ()


@pytest.mark.parametrize(
    ("bad", "finding"),
    [
        (spec(), "no device in it"),
        (spec(device("a")), "no device node"),
        (spec(device("a", NULL), device("a", NULL)), "stands twice"),
        (spec(device("a b", NULL)), "not a CDI device name"),
        (spec(device("a", NULL), kind="nokind"), "not a CDI kind"),
        (spec(device("a", msgspec.structs.replace(NULL, minor=5))), "is 1:3, not 1:5"),
        (spec(device("a", msgspec.structs.replace(NULL, host_path="/etc/passwd"))), "not a character device"),
        (spec(device("a", msgspec.structs.replace(NULL, path="dev/x"))), "not an absolute path"),
    ],
)
def test_what_would_keep_a_container_from_its_device_is_found(bad: CdiSpec, finding: str) -> None:
    assert any(finding in found for found in lint(bad))


@pytest.mark.parametrize("path", ["/dev/nvidia-uvm", "/dev/nvidia-caps/nvidia-cap3", "/no/such/folder/nvidia0"])
def test_a_node_that_is_not_there_yet_is_made_by_the_runtime(path: str, tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    assert lint(spec(device("a", msgspec.structs.replace(NULL, host_path=path))), tmp_path) == ()


def test_nodes_are_looked_at_where_the_node_has_them(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/null").write_text("x")
    assert lint(spec(device("a", NULL))) == ()
    assert "not a character device" in lint(spec(device("a", NULL)), tmp_path)[0]


def test_the_version_is_the_lowest_that_fits() -> None:
    plain = spec(device("a", NULL))
    assert version_for(plain) == "0.5.0"
    assert version_for(msgspec.structs.replace(plain, annotations={"a": "b"})) == "0.6.0"
    grouped = spec(msgspec.structs.replace(device("a", NULL), container_edits=ContainerEdits(additional_gids=[44])))
    assert version_for(grouped) == "0.7.0"


def test_a_claim_without_device_node_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match="no device node"):
        CdiFolder(tmp_path).write(UID, [device("a")])
    assert list(tmp_path.iterdir()) == []


def test_common_edits_are_written_beside_the_void(tmp_path: Path) -> None:
    mount = CdiMount(host_path="/x", container_path="/y", options=["ro"])
    common = ContainerEdits(env=["A=1", "NVIDIA_VISIBLE_DEVICES=void"], mounts=[mount])
    CdiFolder(tmp_path, lambda: common).write(UID, [device("a", NULL)])
    (path,) = tmp_path.iterdir()
    assert path.name == f"gpu.partita.dev-claim_{UID}.json"
    edits = msgspec.json.decode(path.read_bytes())["containerEdits"]
    assert edits["env"] == ["NVIDIA_VISIBLE_DEVICES=void", "A=1"]
    assert edits["mounts"] == [{"hostPath": "/x", "containerPath": "/y", "options": ["ro"]}]


def test_request_names_become_parts_of_environment_names() -> None:
    assert environment("my-gpu", 3, {"UUID": "u"}) == ["PARTITA_MY_GPU_3_UUID=u"]


def test_sweep_removes_what_a_kill_left_half_written_of_ours_alone(tmp_path: Path) -> None:
    folder = CdiFolder(tmp_path)
    folder.write(UID, [device("a", NULL)])
    (tmp_path / "vendor.json").write_text("{}")
    (tmp_path / ".vendor.json.new").write_text("half")
    (tmp_path / ".gpu.partita.dev-claim_x.json.new").write_text("half")
    folder.sweep()
    kept = [".vendor.json.new", f"gpu.partita.dev-claim_{UID}.json", "vendor.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_a_full_cdi_folder_is_retryable_and_nothing_is_half_made(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_folder: CdiFolder, _path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    wanted = claim(node.mig(0, "3g", 4))
    with monkeypatch.context() as patched:
        patched.setattr(CdiFolder, "_put", full)
        with pytest.raises(Retryable, match="is full"):
            node.engine.prepare(wanted)
    assert node.placements() == []
    assert node.journal.state.claims == {}
    node.engine.prepare(wanted)
    node.engine.unprepare(wanted.metadata.uid)


def test_a_missing_device_node_stops_prepare(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    original = node.backend.device_nodes
    monkeypatch.setattr(node.backend, "device_nodes", lambda *_args: ())
    with pytest.raises(Retryable, match="no device node"):
        node.engine.prepare(claim(node.whole(0)))
    monkeypatch.setattr(node.backend, "device_nodes", original)
    assert node.cdi_files() == []


def test_device_nodes_of_a_partition_are_those_on_the_node(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare(wanted)
    written = node.cdi(wanted.metadata.uid)["devices"][0]["containerEdits"]["deviceNodes"]
    promised = node.backend.device_nodes(node.gpu_uuid(0), node.instances()[0][0])
    assert {(n["path"], n["hostPath"], n["major"], n["minor"]) for n in written} == {
        (n.path, n.host_path, n.major, n.minor) for n in promised
    }
    assert sum("nvidia-cap" in n["path"] for n in written) == 2


def test_an_empty_file_stands_in_for_a_simulated_node(tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    simulated = msgspec.structs.replace(NULL, host_path=str(tmp_path / "nvidia0"))
    assert lint(spec(device("a", simulated))) == ()
    (tmp_path / "nvidia0").write_text("x")
    assert "not a character device" in lint(spec(device("a", simulated)))[0]
