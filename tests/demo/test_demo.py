"""The whole demo, once, as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hack.demo.examples import CHOSEN, EXAMPLES, LEFT_OUT
from hack.demo.machines import NODE_NAMES
from hack.demo.manifests import ROOT, example_folders
from hack.demo.show import WIDTH

SECONDS = 240
"""It takes 15, and on a busy machine several times as long."""


@pytest.mark.timeout(SECONDS + 80)
def test_the_demo_shows_what_it_promises_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="d") as scratch:  # short: sockets live below it
        output, summary = _demo(tmp_path / "demo.json", scratch)
        assert not list(Path(scratch).iterdir()), "files are left"
        assert not _processes_with(scratch), "processes are left"
    assert summary["ok"], output
    assert max(map(len, output.splitlines())) <= WIDTH
    assert "\033" not in output, "colours without a terminal"

    placed = {pod["pod"]: pod for pod in summary["placements"]}
    assert {name for example in (*EXAMPLES, CHOSEN) for name in example.pods} <= placed.keys()
    assert placed["nvlink-pair"]["node"] == "hgx-h100"
    assert len(placed["nvlink-pair"]["devices"]) == 2
    seen = placed["mig-3g"]["container_sees"]["main"]
    assert seen["env"]["PARTITA_GPU_0_PROFILE"] == "3g.40gb"
    assert sum(path.startswith("/dev/nvidia-caps/") for path in seen["device_nodes"]) == 2

    pending = next(refusal for refusal in summary["refusals"] if refusal["event"])
    assert pending["reasons"].keys() == set(NODE_NAMES)
    assert all(reason in pending["event"] for reason in pending["reasons"].values())

    fault = summary["fault"]
    assert "bit 7" in fault["finding"]
    assert (fault["from_node"], fault["device"]) != (fault["to_node"], fault["to_device"])
    assert 0 < fault["seconds_to_running"] < SECONDS
    assert 0 < summary["seconds"] < SECONDS


def test_every_example_has_its_place_in_the_demo() -> None:
    assert {*LEFT_OUT, *(example.folder for example in (*EXAMPLES, CHOSEN))} == example_folders()


def _demo(result: Path, scratch: str) -> tuple[str, dict[str, Any]]:
    environment = {**os.environ, "DEMO_JSON": str(result), "TMPDIR": scratch}
    command = [sys.executable, "-m", "hack.demo"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
            pytest.fail(f"the demo did not end within {SECONDS} s\n{output}")
    assert process.returncode == 0, output
    return output, json.loads(result.read_text(encoding="utf-8"))


def _processes_with(text: str) -> list[str]:
    """Command lines of running processes that contain a text; none where there is no /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(command)
    return found
