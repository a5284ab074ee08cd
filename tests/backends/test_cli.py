"""The command line: what a person does to simulated hardware, another process sees."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from partita_plugins.backends.simulated import Delays, SimulatedBackend, open_existing
from partita_plugins.backends.simulated.cli import main
from tests.backends.conftest import Opener


@pytest.fixture
def node(opened: Opener) -> SimulatedBackend:
    return opened("dgx-a100-40")


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize(
    ("command", "tag"),
    [
        (["xid", "--xid", "48"], "xid"),
        (["self-report", "--report", "ecc", "--slice", "2"], "self-report"),
        (["gpu-lost"], "gpu-lost"),
        (["stuck-bit", "--word", "77", "--bit", "3"], "stuck-bit"),
        (["hung-call", "--call", "discover"], "hung-call"),
        (["wrong-memory-size", "--missing-mib", "64", "--slice", "2"], "wrong-memory-size"),
        (["missing-multiprocessor", "--count", "2"], "missing-multiprocessor"),
    ],
)
def test_every_fault_is_planted_and_lifted(
    node: SimulatedBackend, state_dir: Path, command: list[str], tag: str
) -> None:
    gpu = node.machine.hardware.gpus[1]
    fault_id = run("fault", *command, "--state", str(state_dir), "--gpu", gpu.pci_bus_id).strip()
    assert fault_id.startswith(f"{tag}-")
    assert [fault.gpu_uuid for fault in node.faults.all().values()] == [gpu.uuid]
    assert f"lifted {fault_id}" in run("lift", "--state", str(state_dir), fault_id)
    assert node.faults.all() == {}


def test_mode_reset_and_reboot_by_hand(node: SimulatedBackend, state_dir: Path) -> None:
    state = ["--state", str(state_dir)]
    assert "MIG is on" in run("mig", *state, "--gpu", "0", "on")
    assert [gpu.mig.enabled for gpu in node.discover().gpus[:2] if gpu.mig] == [True, False]
    run("reset", *state, "--gpu", "0")
    run("reboot", *state)
    shown = json.loads(run("show", *state, "--json"))
    assert (shown["machine"], len(shown["gpus"]), shown["gpus"][0]["mig_enabled"]) == ("dgx-a100-40", 8, True)
    assert "MIG on" in run("show", *state).splitlines()[1]


def test_a_slow_machine_is_slow_for_who_opens_it_next(node: SimulatedBackend, state_dir: Path) -> None:
    said = run("delays", "--state", str(state_dir), "--create", "0.5", "--destroy", "0.25")
    assert said == "create 0.5 s, destroy 0.25 s, query 0 s\n"
    assert node.machine.delays == Delays(create_seconds=0.5, destroy_seconds=0.25)
    gpu_uuid = node.machine.hardware.gpus[0].uuid
    run("mig", "--state", str(state_dir), "--gpu", "0", "on")
    profile = next(one for one in node.machine.hardware.gpus[0].mig.profiles if one.name.startswith("3g"))  # type: ignore[union-attr]
    begun = time.monotonic()
    open_existing(state_dir).create_gpu_instance(gpu_uuid, profile.profile_id, profile.placements[0])
    assert time.monotonic() - begun >= 0.5
    assert open_existing(state_dir, delays=Delays())._delays == Delays(), "unless it says how slow it is"


def test_mistakes_are_one_line_with_the_way_out(node: SimulatedBackend, state_dir: Path, tmp_path: Path) -> None:
    state = ["--state", str(state_dir)]
    assert "show" in run("fault", "gpu-lost", *state, "--gpu", "9", code=2)
    assert "--all" in run("lift", *state, code=2)
    assert "no fault 'x'" in run("lift", *state, "x", code=1)
    assert "holds no simulated machine" in run("show", "--state", str(tmp_path), code=1)


def test_a_machine_can_be_made_beforehand(tmp_path: Path, state_dir: Path, opened: Opener) -> None:
    run("make", "--state", str(state_dir), "--machine", "a30-x4", "--seed", "node-a")
    assert len(opened("a30-x4").discover().gpus) == 4


def test_it_runs_as_a_module_with_help() -> None:
    command = [sys.executable, "-m", "partita_plugins.backends.simulated", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert {"delays", "fault", "lift", "mig", "reboot", "reset", "show"} <= set(done.stdout.split())
