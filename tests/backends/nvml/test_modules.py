"""nvidia-uvm is asked for where it is not loaded, within the root that has the driver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from partita_plugins.backends.nvml import NvmlBackend
from partita_plugins.backends.nvml.modules import Modules
from partita_plugins.errors import NvmlCode
from partita_plugins.testing.contracts.answers import refused
from partita_plugins.testing.nvml import Node


def test_modprobe_runs_within_the_root_that_has_the_module(tmp_path: Path) -> None:
    roots = [tmp_path / "elsewhere", tmp_path, tmp_path / "run/nvidia/driver"]
    for root in roots[1:]:
        (root / "sbin").mkdir(parents=True)
        (root / "sbin/modprobe").touch()
    asked: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> str:
        asked.append(command)
        return "Module nvidia-uvm not found" if command[1] == str(tmp_path) else ""

    Modules(roots[:2], run=run).load()
    assert asked == [("chroot", str(root), "/sbin/modprobe", "nvidia-uvm") for root in roots[1:]]


def test_words_that_are_no_text_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "modprobe"
    program.write_text("#!/bin/sh\nprintf 'no m\\366dule' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("partita_plugins.backends.nvml.modules.MODPROBE", (str(program),))
    with capture_logs() as told:
        Modules([Path("/")]).load()
    assert [line["wrong"] for line in told] == ["no m\N{REPLACEMENT CHARACTER}dule"]


def test_without_it_nothing_is_asked_for(tmp_path: Path) -> None:
    Modules([tmp_path], run=lambda _: pytest.fail("there is nothing to run")).load()


def test_a_claim_s_nodes_are_there_once_the_module_is(
    backend: NvmlBackend, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    (uuid, *_), devices = backend.gpu_uuids(), node.root / "proc/devices"
    before, loaded = backend.device_nodes(uuid, None), devices.read_text()
    devices.write_text("".join(line for line in loaded.splitlines(keepends=True) if "nvidia-uvm" not in line))
    for name in ("nvidia-uvm", "nvidia-uvm-tools"):
        (node.root / "dev" / name).unlink(missing_ok=True)
    with refused(NvmlCode.NOT_READY):
        backend.device_nodes(uuid, None)
    monkeypatch.setattr(Modules, "load", lambda _: devices.write_text(loaded))
    assert backend.device_nodes(uuid, None) == before
