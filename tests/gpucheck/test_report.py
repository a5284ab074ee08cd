"""hack/gpu-check over the C library: it agrees with nvidia-smi, tells a difference, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from hack.gpucheck import contract, smi, validation
from hack.gpucheck.__main__ import main
from hack.gpucheck.report import Section, as_markdown, file_name

from partita_plugins.backends.nvml import NvmlBackend, open_backend
from partita_plugins.backends.simulated import SelfReport, open_existing
from partita_plugins.contracts import Look, ValidationResult, ValidationTarget
from partita_plugins.model.gpu import NodeHardware
from partita_plugins.model.mig import Placement
from partita_plugins.testing.nvml import Node, installed

ROOT = Path("/")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = NodeHardware(driver_version="580", cuda_version="13.0", gpus=(), links=())


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = installed(tmp_path / "node", "hgx-h100", seed="check")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def backend(node: Node, tmp_path: Path) -> Iterator[NvmlBackend]:
    opened = open_backend(tmp_path / "driver", driver_root=node.root)
    yield opened
    opened.close()


def test_a_sound_machine_passes_and_is_left_as_it_was(node: Node, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in node.state.rglob("*.json")}
    result = CliRunner().invoke(main, ["--rounds=1", f"--output={tmp_path / 'reports'}"])
    assert result.exit_code == 0, result.output
    assert "8 GPUs, 9 fields each; 0 differ." in result.output
    assert "FAILED" not in result.output
    assert "## validator: not run\n\nCuPy is not installed; install partita[cuda12]" in result.output
    [kept] = (tmp_path / "reports").iterdir()
    assert kept.name.startswith("nvidia-h100-80gb-hbm3-")
    assert kept.read_text() in result.output
    assert {path: path.read_bytes() for path in node.state.rglob("*.json")} == before


def test_the_validator_is_timed_cold_and_warm(backend: NvmlBackend) -> None:
    one = replace(backend.discover(), gpus=backend.discover().gpus[:1], links=())
    section = validation.tried(backend, one, "host", runs=1)
    assert section.passed, section.rows
    assert [row[1] for row in section.rows] == [
        "quick, cold", "full, cold", "quick, warm", "full, warm", "quick, warm, 1 times",
    ]  # fmt: skip
    assert "100.0% of the memory" in section.rows[3][4]


def test_of_a_gpu_in_mig_mode_its_partitions_are_tried(backend: NvmlBackend) -> None:
    uuid = backend.gpu_uuids()[7]
    backend.set_mig_mode(uuid, enabled=True)
    made = backend.create_gpu_instance(uuid, 19, Placement(6, 1))
    backend.create_compute_instance(uuid, made.gpu_instance_id)
    gpu = backend.discover().gpus[7]
    (target,) = validation.targets(backend, gpu)
    assert (target.instance, target.memory_mib, target.multiprocessors) == (backend.gpu_instances(uuid)[0], 9984, 16)
    assert validation.alarms(Wolf(), target, 1)[0] == f"{gpu.pci_bus_id} at 6"  # type: ignore[arg-type]


class Wolf:
    """Finds something at every other look."""

    def __init__(self) -> None:
        self.looks = 0

    def warm(self, timeout_seconds: float) -> bool:
        return True

    def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
        self.looks += 1
        findings = (f"look {self.looks}",) if self.looks % 2 else ()
        return ValidationResult(method="wolf", depth=look.depth, seconds=self.looks, findings=findings)


def test_every_alarm_is_counted(backend: NvmlBackend) -> None:
    gpu = backend.discover().gpus[0]
    target = ValidationTarget(gpu=gpu, instance=None, memory_mib=1, multiprocessors=1)
    row = validation.alarms(Wolf(), target, 5)  # type: ignore[arg-type]
    assert row[1:] == ("quick, warm, 5 times", "3 alarms, the first: look 1", "3.000", "slowest 5.000 s")


def test_what_nvidia_smi_says_otherwise_is_told(node: Node, backend: NvmlBackend) -> None:
    hardware = backend.discover()
    first, *rest = hardware.gpus
    other = replace(hardware, gpus=(replace(first, memory_mib=1), *rest[:-1]))
    section = smi.compared(other, backend, ROOT, node.root)
    assert not section.passed
    assert (first.pci_bus_id, "memory.total", str(first.memory_mib), "1") in section.rows
    assert any(row[3] == "not discovered" for row in section.rows), "the last GPU"


def test_an_nvidia_smi_that_fails_is_told(backend: NvmlBackend, tmp_path: Path) -> None:
    program = tmp_path / "usr/bin/nvidia-smi"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho Failed to initialize NVML\nexit 18\n")
    program.chmod(0o755)
    section = smi.compared(backend.discover(), backend, ROOT, tmp_path)
    assert not section.passed
    assert "Failed to initialize NVML" in section.remark


def test_a_broken_promise_fails_and_a_sick_gpu_is_only_told(node: Node, backend: NvmlBackend) -> None:
    uuid = backend.gpu_uuids()[0]
    open_existing(node.state, words=2**12).faults.plant(SelfReport(gpu_uuid=uuid, report="recovery-reset"))
    sick = contract.kept(backend)
    assert sick.passed
    assert any("recovery-reset" in outcome for _, outcome in sick.rows)
    backend.device_nodes = lambda *_: ()  # type: ignore[method-assign]
    assert not contract.kept(backend).passed


def test_without_a_gpu_it_says_what_must_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTITA_SIMULATED_DIR", str(tmp_path / "none"))
    result = CliRunner().invoke(main, [f"--host-root={tmp_path}", f"--driver-root={ROOT}"])
    assert result.exit_code == 1
    assert "`nvidia-smi` must work here" in result.output


def test_a_failed_section_is_marked() -> None:
    failed = Section(title="contract", passed=False, columns=("a", "b"), rows=[("x", "y")])
    page = as_markdown(NOTHING, [failed], NEW_YEAR)
    assert "## contract: FAILED" in page
    assert "| x | y |" in page
    assert file_name(NOTHING, NEW_YEAR) == "no-gpu-2026-01-01.md"
