"""Common CDI edits come from the node's nvidia-ctk: asked once, checked, and every failure says what is missing.

The real nvidia-ctk is run by tests/e2e; here a program of the test answers in its place.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from partita_driver.cdi.toolkit import Toolkit, run_within
from partita_plugins.errors import Retryable
from tests.waiting import WAIT_SECONDS

LIBCUDA = "/usr/lib/x86_64-linux-gnu/libcuda.so.580.82.07"
HOOK = "/usr/bin/nvidia-cdi-hook"
SPEC: dict[str, Any] = {
    "cdiVersion": "0.5.0",
    "kind": "nvidia.com/gpu",
    "devices": [{"name": "none", "containerEdits": {"env": ["NVCT_EMPTY_DEVICE="]}}],
    "containerEdits": {
        "env": ["NVIDIA_VISIBLE_DEVICES=void"],
        "deviceNodes": [{"path": "/dev/nvidiactl", "major": 195, "minor": 255, "permissions": "rwm"}],
        "mounts": [{"hostPath": LIBCUDA, "containerPath": LIBCUDA, "options": ["ro", "nosuid", "nodev"]}],
        "hooks": [{"hookName": "createContainer", "path": HOOK, "args": ["nvidia-cdi-hook", "update-ldcache"]}],
    },
}


class Answers:
    """Stands in for running a program: gives the next answer, remembers the commands."""

    def __init__(self, *answers: tuple[int, object, str]) -> None:
        self._answers, self.commands = list(answers), list[list[str]]()

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(list(command))
        code, printed, said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        output = printed if isinstance(printed, bytes) else msgspec.json.encode(printed)
        return subprocess.CompletedProcess(command, code, output, said.encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("/usr/bin/nvidia-ctk", HOOK, LIBCUDA):
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    return tmp_path


def edited(**changes: object) -> dict[str, Any]:
    return {**SPEC, "containerEdits": {**SPEC["containerEdits"], **changes}}


def test_libraries_and_hooks_are_taken_and_device_nodes_are_not(root: Path) -> None:
    edits = Toolkit(host_root=root, run=Answers((0, SPEC, ""))).common_edits("580.82.07")
    assert [mount.host_path for mount in edits.mounts] == [LIBCUDA]
    assert [hook.path for hook in edits.hooks] == [HOOK]
    assert edits.device_nodes == []


def test_a_toolkit_is_asked_again_after_a_driver_or_a_toolkit_update_only(root: Path) -> None:
    answers = Answers((0, SPEC, ""))
    toolkit = Toolkit(host_root=root, run=answers)
    first = toolkit.common_edits("580.82.07")
    assert toolkit.common_edits("580.82.07") is first
    toolkit.common_edits("590.10.01")
    assert len(answers.commands) == 2
    (root / "usr/bin/nvidia-ctk").write_text("#!/bin/sh\n# newer\n")
    toolkit.common_edits("590.10.01")
    assert len(answers.commands) == 3


def test_a_socket_that_is_gone_since_is_no_longer_mounted(root: Path) -> None:
    socket = root / "run/nvidia-persistenced/socket"
    socket.parent.mkdir(parents=True)
    socket.touch()
    mounts = [{"hostPath": path, "containerPath": path} for path in (LIBCUDA, "/run/nvidia-persistenced/socket")]
    toolkit = Toolkit(host_root=root, run=Answers((0, edited(mounts=mounts), ""), (0, SPEC, "")))
    assert len(toolkit.common_edits("580").mounts) == 2
    socket.unlink()
    assert [mount.host_path for mount in toolkit.common_edits("580").mounts] == [LIBCUDA]


@pytest.mark.parametrize(("on_node", "place"), [(True, "/"), (False, "/run/nvidia/driver")])
def test_a_driver_container_is_found_where_the_node_has_no_driver(root: Path, on_node: bool, place: str) -> None:
    for folder in ("run/nvidia/driver/usr/bin", *(["usr/bin"] if on_node else [])):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "nvidia-smi").touch()
    answers = Answers((0, SPEC, ""))
    Toolkit(host_root=root, run=answers).common_edits("580")
    assert f"--driver-root={place}" in answers.commands[0]


def test_a_node_seen_through_a_mount_is_asked_within_it(root: Path) -> None:
    answers = Answers((0, SPEC, ""))
    Toolkit(host_root=root, driver_root=Path("/run/nvidia/driver"), run=answers).common_edits("580")
    (command,) = answers.commands
    assert command[:3] == ["chroot", str(root), "/usr/bin/nvidia-ctk"]
    assert "--driver-root=/run/nvidia/driver" in command


def test_the_hook_beside_the_program_is_the_one_that_is_named(root: Path) -> None:
    answers = Answers((0, SPEC, ""))
    Toolkit(host_root=root, run=answers).common_edits("580")
    assert f"--nvidia-cdi-hook-path={HOOK}" in answers.commands[0]
    elsewhere = root / "opt" / "nvidia-ctk"
    elsewhere.parent.mkdir()
    elsewhere.write_text("#!/bin/sh\n")
    elsewhere.chmod(0o755)
    Toolkit(host_root=root, program="/opt/nvidia-ctk", run=answers).common_edits("580")
    assert not [word for word in answers.commands[1] if word.startswith("--nvidia-cdi-hook-path")]


def test_an_older_toolkit_that_lists_all_devices_will_do(root: Path) -> None:
    answers = Answers((1, b"", "flag provided but not defined: -device-id"), (0, SPEC, ""))
    assert Toolkit(host_root=root, run=answers).common_edits("580").mounts
    assert [any("--device-id" in word for word in command) for command in answers.commands] == [True, False]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((1, b"", "level=error\nfailed to initialize NVML: ERROR_DRIVER_NOT_LOADED"), "ERROR_DRIVER_NOT_LOADED"),
        ((2, b"", ""), "exit status 2"),
        ((0, b"no json", ""), "no CDI specification"),
        ((0, b" " * (5 * 2**20), ""), "printed 5242880 bytes"),
        ((0, edited(mounts=[]), ""), "no libcuda.so"),
        ((0, edited(hooks=[{"hookName": "createContainer", "path": "/usr/bin/gone"}]), ""), "name /usr/bin/gone"),
        ((0, edited(mounts=[{"hostPath": "/gone", "containerPath": LIBCUDA}]), ""), "name /gone"),
    ],
)
def test_what_would_not_work_in_a_container_is_refused(
    root: Path, answer: tuple[int, object, str], message: str
) -> None:
    toolkit = Toolkit(host_root=root, run=Answers(answer))
    for _ in range(2):  # and asked again: nothing of a failure is kept
        with pytest.raises(Retryable, match=message):
            toolkit.common_edits("580")


def test_a_node_without_toolkit_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match=r"no /usr/bin/nvidia-ctk or .*; install the NVIDIA Container Toolkit"):
        Toolkit(host_root=tmp_path).common_edits("580")
    with pytest.raises(Retryable, match="no /opt/nvidia-ctk on the node"):
        Toolkit(host_root=tmp_path, program="/opt/nvidia-ctk").common_edits("580")


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match=r"sleep did not end within 0\.1 s"):
        run_within(0.1)(["sleep", "60"])
    with pytest.raises(Retryable, match="cannot be run: No such file"):
        run_within(1)([str(tmp_path / "none")])


def test_a_program_that_cannot_be_ended_is_left_behind_and_no_second_one_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits in NVIDIA's driver for a GPU that hangs, and takes no SIGKILL."""
    started: list[subprocess.Popen[bytes]] = []

    def noted(process: subprocess.Popen[bytes]) -> None:
        started.append(process)

    def late(process: subprocess.Popen[bytes], timeout: float) -> None:
        raise subprocess.TimeoutExpired(process.args, timeout)

    monkeypatch.setattr("partita_driver.cdi.toolkit.KILL_SECONDS", 0.1)
    run = run_within(WAIT_SECONDS)
    with monkeypatch.context() as hanging:
        hanging.setattr(subprocess.Popen, "kill", noted)
        hanging.setattr(subprocess.Popen, "communicate", late)
        with pytest.raises(Retryable, match="did not end within"):
            run(["sleep", "600"])
    assert started[0].poll() is None, "nobody waited for it"
    with pytest.raises(Retryable, match="takes no SIGKILL"):
        run(["true"])
    started[0].kill()
    started[0].wait()
    assert run(["true"]).returncode == 0
