"""The device nodes that a child's CUDA finds."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from partita_plugins.validators.cuda import child, own_devices

NODES = (("/dev/nvidia3", 195, 3), ("/dev/nvidiactl", 195, 255), ("/dev/nvidia-caps/nvidia-cap9912", 235, 9912))
SEEN = """
import os, sys
from partita_plugins.validators.cuda.own_devices import own_devices
print(own_devices(%r) or "own")
for folder, _, files in os.walk("/dev"):
    for name in files:
        found = os.stat(os.path.join(folder, name)).st_rdev
        print(os.path.join(folder, name), os.major(found), os.minor(found))
""" % (NODES,)  # noqa: UP031 - a program's text, with braces of its own one day


def test_a_child_sees_its_devices_and_no_gpu_beside_them() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", SEEN], env=environment, capture_output=True, text=True, check=True)
    said, *seen = run.stdout.splitlines()
    if os.geteuid() == 0:
        assert said == "own"
        plain = {f"{path} {major} {minor}" for path, major, minor in (*own_devices.PLAIN, *NODES)}
        assert set(seen) == plain
    else:
        assert said == "the validation sees all of /dev: [Errno 1] unshare: Operation not permitted"
    assert not Path("/dev/nvidia-caps/nvidia-cap9912").exists()


def test_without_the_right_to_a_dev_of_its_own_a_child_makes_the_nodes_in_the_one_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refused() -> None:
        raise PermissionError(1, "unshare: Operation not permitted")

    made: dict[str, tuple[int, int]] = {}

    def noted(path: str, mode: int, device: int) -> None:
        assert stat.S_ISCHR(mode)
        made[path] = (os.major(device), os.minor(device))

    monkeypatch.setattr(own_devices, "_mount_own", refused)
    monkeypatch.setattr(os, "mknod", noted)
    null = Path(os.devnull).stat().st_rdev
    for name in ("same", "other"):
        (tmp_path / name).symlink_to(os.devnull)
    numbers = {"same": (os.major(null), os.minor(null)), "other": (511, 0), "caps/new": (235, 12)}
    child._make_nodes(tuple((str(tmp_path / name), *pair) for name, pair in numbers.items()))
    # One with the right numbers stays.
    assert made == {str(tmp_path / "other"): (511, 0), str(tmp_path / "caps/new"): (235, 12)}
    assert "sees all of /dev: [Errno 1] unshare" in capsys.readouterr().err


def test_who_asks_for_no_nodes_keeps_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_devices, "_mount_own", lambda: pytest.fail("mounted"))
    assert own_devices.own_devices(()) == ""
