"""doctor over simulated hardware: faults, other people's programs and partitions are seen, and nothing changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from partita_driver.main import cli
from partita_plugins.backends.simulated import GpuLost, SelfReport, SimulatedBackend, open_backend
from partita_plugins.model.mig import Placement

DOCS = Path(__file__).parents[3] / "docs" / "doctor.md"
EXAMPLES = re.findall(r"\$ partita-driver (doctor [^\n]+)\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


CDI = '{"containerEdits": {"mounts": [{"hostPath": "%s", "containerPath": "/usr/lib/libcuda.so.1"}]}}'


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", "--node-name", "node-a", *arguments])


@pytest.fixture
def hardware(tmp_path: Path) -> SimulatedBackend:
    return open_backend(tmp_path / "state" / "simulated", "hgx-h100", seed="node-a", words=2**12)


def on_node(tmp_path: Path, *more: str) -> Any:
    """doctor's JSON on a node with that hardware, without an API server."""
    folders = [f"--{name}-dir={tmp_path / name}" for name in ("state", "cdi", "plugin", "registry")]
    kube = f"--kubeconfig={tmp_path / 'none'}"
    result = doctor("--backend=simulated", "--machine=hgx-h100", "--json", kube, *folders, *more)
    return msgspec.json.decode(result.output)


def said(report: Any, about: str) -> list[str]:
    return [finding["what"] for finding in report["findings"] if finding["about"] == about]


@pytest.mark.parametrize(("command", "printed"), EXAMPLES)
def test_the_documented_output_is_what_it_prints(command: str, printed: str) -> None:
    result = CliRunner().invoke(cli, command.split())
    assert result.output == printed


def test_four_machines_are_documented() -> None:
    assert len(EXAMPLES) == 4


def test_a_machine_of_the_catalog_alone_has_nothing_in_the_way() -> None:
    result = doctor("--machine", "hgx-b200", "--json")  # Only simulated GPUs have one.
    assert result.exit_code == 0
    report = msgspec.json.decode(result.output)
    assert len(report["gpus"]) == 8
    assert report["findings"] == []


def test_what_is_wrong_with_the_hardware_is_told_and_not_touched(tmp_path: Path, hardware: SimulatedBackend) -> None:
    first, second, third, fourth = hardware.discover().gpus[:4]
    hardware.faults.plant(GpuLost(gpu_uuid=first.uuid))
    hardware.faults.plant(SelfReport(gpu_uuid=second.uuid, report="recovery-reset"))
    hardware.start_client(third.uuid, "train.py")
    hardware.set_mig_mode(fourth.uuid, enabled=True)
    hardware.create_gpu_instance(fourth.uuid, 9, Placement(4, 4))
    before = {path: path.read_bytes() for path in (tmp_path / "state").rglob("*.json")}
    report = on_node(tmp_path)
    assert said(report, first.uuid) == ["the GPU does not answer: it has fallen off the bus"]
    assert said(report, second.pci_bus_id) == ["the GPU reports recovery-reset"]
    assert "train.py" in said(report, third.pci_bus_id)[0]
    assert "GPU instance 1 at slice 4" in said(report, fourth.pci_bus_id)[0]
    assert {path: path.read_bytes() for path in (tmp_path / "state").rglob("*.json")} == before


def test_log_lines_are_no_part_of_the_output(tmp_path: Path, hardware: SimulatedBackend) -> None:
    assert hardware.gpu_uuids()
    program = tmp_path / "nvidia-ctk"
    program.write_text(f"#!/bin/sh\necho '{CDI % str(tmp_path / 'libcuda.so.1')}'\n")
    program.chmod(0o755)
    (tmp_path / "libcuda.so.1").touch()
    report = on_node(tmp_path, f"--toolkit={program}")
    assert report["toolkit"]["mounts"] == 1


def test_a_node_without_kubelet_and_api_server_says_so(tmp_path: Path, hardware: SimulatedBackend) -> None:
    assert hardware.gpu_uuids()
    result = said(on_node(tmp_path), "node")
    assert any("there is no kubelet here" in what for what in result)
    assert any("API server" in what for what in result)


def test_a_backend_that_is_not_there_is_a_finding_with_status_1(tmp_path: Path) -> None:
    result = doctor("--backend", "none-such", "--state-dir", str(tmp_path), "--toolkit", "none")
    assert result.exit_code == 1
    assert "there is no partita.backends named 'none-such'" in result.output


def test_a_folder_that_cannot_be_looked_at_is_in_the_way_and_no_crash(
    hardware: SimulatedBackend, tmp_path: Path
) -> None:
    unseen = tmp_path / ("x" * 300)  # an error for root too, as /var/lib/kubelet is for everybody else
    found = said(on_node(tmp_path, f"--registry-dir={unseen}", f"--cdi-dir={unseen}"), "node")
    assert len([what for what in found if what.startswith(str(unseen)) and "File name too long" in what]) == 2
    assert hardware.gpu_uuids()
