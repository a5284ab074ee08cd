"""Building the C library: once, by many at a time, and with a clear word where it cannot be."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from partita_plugins.backends.simulated import SelfReport, open_existing
from partita_plugins.errors import InvalidInput, Permanent
from partita_plugins.model.mig import Placement
from partita_plugins.testing.nvml import installed
from partita_plugins.testing.nvml.build import FLAGS, SMI_SOURCES, SOURCES, build_stand_in, compiler


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"no C compiler 'cc'.*apt-get install -y gcc libc6-dev"):
        build_stand_in("libcuda.so.1", tmp_path)


def test_what_the_compiler_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "cc -no-such-option")
    with pytest.raises(Permanent, match="no-such-option"):
        build_stand_in("libcuda.so.1", tmp_path)


def test_many_who_want_it_at_once_get_one_whole_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: build_stand_in("libcuda.so.1", tmp_path), range(4)))
    (file,) = made
    assert file.read_bytes()[:4] == b"\x7fELF"
    assert sorted(path.name for path in file.parent.iterdir()) == ["libcuda.so.1", "lock"]


SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


def test_sanitizers_find_nothing_in_the_library_and_nvidia_smi(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    sources = map(str, [*SOURCES.glob("*.c"), *SMI_SOURCES.glob("*.c")])
    subprocess.run([*compiler(), *FLAGS, *SANITIZERS, "-o", str(program), *sources], check=True, timeout=120)
    node = installed(tmp_path / "state", "hgx-h100")
    backend = open_existing(node.state)
    first, second = backend.gpu_uuids()[:2]
    backend.set_mig_mode(first, enabled=True)
    for start in range(7):
        made = backend.create_gpu_instance(first, 19, Placement(start, 1))
        backend.create_compute_instance(first, made.gpu_instance_id)
    backend.faults.plant(SelfReport(gpu_uuid=second, report="ecc"))
    environment = {**os.environ, "PARTITA_SIMULATED_DIR": str(node.state)}
    query = ["--query-gpu=index,name,uuid,mig.mode.current,compute_mode,memory.total", "--format=csv"]
    for arguments in (
        ["-L"],
        query,
        ["-i", second, "-c", "PROHIBITED"],
        ["compute-policy", "--set-timeslice=1", "-i", second],
    ):
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
