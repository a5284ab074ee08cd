"""CuPy's one door, with a CuPy that computes on the CPU: what it opens, copies where, and makes of errors."""

from __future__ import annotations

import ctypes.util
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from partita_plugins.errors import NvmlCode
from partita_plugins.validators.cuda.child import answered
from partita_plugins.validators.cuda.compute import Arithmetic
from partita_plugins.validators.cuda.messages import Answer, Limits, Refusal, Request
from partita_plugins.validators.cupy.environment import LIBRARIES
from tests.validators import fake_cupy

DOOR = "partita_plugins.validators.cupy.device"
ONE = Request(
    visible=("GPU-a",),
    quick=False,
    budget_seconds=10.0,
    seed=77,
    limits=Limits(quick_bytes=2**20, left_bytes=0, headroom_bytes=0, rounds=1),
)
TWO = msgspec.structs.replace(ONE, visible=("GPU-a", "GPU-b"))


class Gpus:
    """A door onto some devices."""

    def __init__(self, devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
        modules, self.runtime = fake_cupy.modules(devices)
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, DOOR, raising=False)
        monkeypatch.delenv(LIBRARIES, raising=False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        self._door: Any = importlib.import_module(DOOR)

    def look(self, request: Request) -> Answer | Refusal:
        return answered(request, self._door.open_devices, lambda: None, lambda: False)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpus]:
    yield Gpus(2, monkeypatch)
    sys.modules.pop(DOOR, None)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpus]:
    yield Gpus(1, monkeypatch)
    sys.modules.pop(DOOR, None)


def test_a_whole_look_finds_nothing_covers_all_and_gives_everything_back(gpu: Gpus) -> None:
    answer = gpu.look(msgspec.structs.replace(ONE, measure=True))
    assert isinstance(answer, Answer)
    assert answer.findings == ()
    assert (answer.memory_bytes, answer.multiprocessors) == (fake_cupy.MEMORY_BYTES, fake_cupy.MULTIPROCESSORS)
    assert answer.memory_coverage > 0.99
    assert set(answer.seconds) == {"start", "compute", "allocate", "memory", "free", "rates"}
    assert set(answer.rates) == {"host-to-device", "within"}
    assert gpu.runtime.held == {}


def test_copies_between_devices_go_to_the_right_one_and_may_be_asked_for_again(gpus: Gpus) -> None:
    for _ in range(2):
        answer = gpus.look(TWO)
        assert isinstance(answer, Answer)
        assert answer.findings == ()
    assert gpus.runtime.peers == {(0, 1), (1, 0)}


def test_cuda_is_told_which_devices_there_are_before_it_is_asked(gpus: Gpus, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def count() -> int:
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return 2

    monkeypatch.setattr(gpus.runtime, "getDeviceCount", count)
    gpus.look(TWO)
    assert seen == ["GPU-a,GPU-b"]


def test_a_device_that_cuda_does_not_see_is_looked_for_again_later(gpu: Gpus) -> None:
    refusal = gpu.look(TWO)
    assert isinstance(refusal, Refusal)
    assert refusal.code is NvmlCode.NOT_FOUND
    assert "CUDA sees 1 of 2 devices" in refusal.message


def test_an_error_while_it_computes_is_the_device_s(gpu: Gpus) -> None:
    gpu.runtime.fails = 719
    answer = gpu.look(ONE)
    assert isinstance(answer, Answer)
    assert answer.findings == ("CUDA error 719: error 719, in memory",)


@pytest.mark.parametrize("shared", [False, True])
def test_memory_that_others_have_blames_nobody(gpu: Gpus, *, shared: bool) -> None:
    gpu.runtime.setDevice(0)
    gpu.runtime.malloc(fake_cupy.MEMORY_BYTES - 5000)
    said = gpu.look(msgspec.structs.replace(ONE, shared=shared, limits=Limits(quick_bytes=0, headroom_bytes=0)))
    if shared:
        assert said == Answer(skipped="shared")
    else:
        assert isinstance(said, Refusal)
        assert said.code is NvmlCode.INSUFFICIENT_RESOURCES


@pytest.mark.parametrize("shared", [False, True])
def test_a_wrong_answer_counts_also_where_others_then_take_the_memory(
    gpu: Gpus, monkeypatch: pytest.MonkeyPatch, *, shared: bool
) -> None:
    def wrong_and_crowded(self: Arithmetic, seed: int) -> Iterator[str]:
        yield "a wrong sum"
        gpu.runtime.malloc(gpu.runtime.memGetInfo()[0])

    monkeypatch.setattr(Arithmetic, "findings", wrong_and_crowded)
    said = gpu.look(msgspec.structs.replace(ONE, shared=shared))
    assert isinstance(said, Answer)
    assert (said.findings, said.skipped) == (("a wrong sum",), "")


def test_a_host_that_has_no_memory_for_a_copy_blames_nobody(gpu: Gpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(size: int, flags: int) -> int:
        raise fake_cupy.CUDARuntimeError(fake_cupy.OUT_OF_MEMORY)

    monkeypatch.setattr(gpu.runtime, "hostAlloc", full)
    refusal = gpu.look(msgspec.structs.replace(ONE, limits=Limits(quick_bytes=2**20, left_bytes=0, host_rate_min=1.0)))
    assert isinstance(refusal, Refusal)
    assert refusal.code is NvmlCode.INSUFFICIENT_RESOURCES


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (209, NvmlCode.NOT_SUPPORTED),
        (221, NvmlCode.LIBRARY_NOT_FOUND),
        (222, NvmlCode.FUNCTION_NOT_FOUND),
        (304, NvmlCode.NO_PERMISSION),
    ],
)
def test_kernels_that_cannot_be_loaded_blame_no_gpu(
    gpu: Gpus, monkeypatch: pytest.MonkeyPatch, code: int, meaning: NvmlCode
) -> None:
    monkeypatch.setattr(fake_cupy.RawKernel, "load_fails", code)
    refusal = gpu.look(ONE)
    assert isinstance(refusal, Refusal)
    assert refusal.code is meaning
    assert refusal.advice


def test_a_library_that_cannot_be_loaded_is_the_node_s(
    gpu: Gpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "libcuda.so.1").write_text("no library")
    monkeypatch.setenv(LIBRARIES, str(tmp_path / "libcuda.so.1"))
    refusal = gpu.look(ONE)
    assert isinstance(refusal, Refusal)
    assert refusal.code is NvmlCode.LIBRARY_NOT_FOUND


def test_only_the_first_library_is_needed(gpu: Gpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cubins run without the PTX compiler, which may be a leftover of another driver."""
    (tmp_path / "libnvidia-ptxjitcompiler.so.1").write_text("no library")
    first = ctypes.util.find_library("c") or ""
    monkeypatch.setenv(LIBRARIES, os.pathsep.join((first, str(tmp_path / "libnvidia-ptxjitcompiler.so.1"))))
    assert isinstance(gpu.look(ONE), Answer)
