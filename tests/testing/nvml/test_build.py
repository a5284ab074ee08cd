"""Building the C library: once, by many at a time, and with a clear word where it cannot be."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pynvml
import pytest

from partita_plugins.backends.simulated import SelfReport, SimulatedBackend, open_existing
from partita_plugins.errors import InvalidInput, Permanent
from partita_plugins.model.mig import Placement
from partita_plugins.testing.compiling import C
from partita_plugins.testing.nvml import installed
from partita_plugins.testing.nvml.build import FLAGS, SMI_SOURCES, SOURCES, build_stand_in


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
QUERY = ("--query-gpu=index,name,uuid,mig.mode.current,compute_mode,memory.total", "--format=csv")

DAMAGED = ('{"mig_enabled', '{"instances": [{', "", "[]", '"\\u12"', '{"a": "\\ud83d"}', '"' + "x" * 118)
"""The last one fills the buffer of getdelim to its end: whoever reads on leaves it."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nvidia-smi with the library in it, made to end with a report where it reads or writes out of bounds."""
    program = tmp_path_factory.mktemp("sanitized") / "nvidia-smi"
    sources = map(str, [*SOURCES.glob("*.c"), *SMI_SOURCES.glob("*.c")])
    subprocess.run([*C.command, *FLAGS, *SANITIZERS, "-o", str(program), *sources], check=True, timeout=240)
    return program


class TestUnderSanitizers:
    """On a GPU full of instances, and on one that reports a fault."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> SimulatedBackend:
        backend = open_existing(installed(tmp_path / "state", "hgx-h100").state)
        first, second = backend.gpu_uuids()[:2]
        backend.set_mig_mode(first, enabled=True)
        for start in range(7):
            made = backend.create_gpu_instance(first, 19, Placement(start, 1))
            backend.create_compute_instance(first, made.gpu_instance_id)
        backend.faults.plant(SelfReport(gpu_uuid=second, report="ecc"))
        return backend

    @pytest.mark.parametrize("arguments", [("-L",), QUERY, ("-i", "1", "-c", "PROHIBITED")])
    def test_nothing_is_found(
        self, program: Path, backend: SimulatedBackend, tmp_path: Path, arguments: tuple[str, ...]
    ) -> None:
        assert self.run(program, tmp_path, *arguments) == (0, "")

    @pytest.mark.parametrize("damaged", DAMAGED)
    def test_a_damaged_record_is_an_unknown_error(
        self, program: Path, backend: SimulatedBackend, tmp_path: Path, damaged: str
    ) -> None:
        (tmp_path / "state/gpus" / f"{backend.gpu_uuids()[0]}.json").write_text(damaged)
        assert self.run(program, tmp_path, "-L") == (int(pynvml.NVML_ERROR_UNKNOWN) & 0xFF, "")

    def run(self, program: Path, folder: Path, *arguments: str) -> tuple[int, str]:
        """Exit code, and what the sanitizers say."""
        environment = {**os.environ, "PARTITA_SIMULATED_DIR": str(folder / "state")}
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        return done.returncode, done.stderr
