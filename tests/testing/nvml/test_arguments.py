"""What pynvml's callers are told when they ask wrongly: before nvmlInit, with strange handles, with other versions."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pynvml
import pytest

from partita_plugins.testing.nvml import Node, build_library

STRANGE = ctypes.c_void_p(0xDEAD0)


@pytest.fixture
def library() -> ctypes.CDLL:
    """The functions themselves, for what pynvml would not hand over."""
    return ctypes.CDLL(str(build_library()))


def test_before_init_and_after_the_last_shutdown_nothing_is_initialized(node: Node, library: ctypes.CDLL) -> None:
    pynvml.nvmlInit()
    pynvml.nvmlShutdown()
    assert pynvml.nvmlDeviceGetCount() == len(node.machine.hardware.gpus)
    pynvml.nvmlShutdown()
    for call in (pynvml.nvmlDeviceGetCount, pynvml.nvmlShutdown, pynvml.nvmlEventSetCreate):
        with pytest.raises(pynvml.NVMLError_Uninitialized):
            call()
    assert library.nvmlErrorString(1) is not None
    pynvml.nvmlInit()


@pytest.mark.parametrize("state", ["", "no-such-folder"])
def test_without_a_machine_no_driver_is_loaded(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL
) -> None:
    monkeypatch.setenv("PARTITA_SIMULATED_DIR", str(tmp_path / state) if state else "")
    with pytest.raises(pynvml.NVMLError_DriverNotLoaded):
        pynvml.nvmlInit()
    assert library.nvmlShutdown() == pynvml.NVML_ERROR_UNINITIALIZED


ONE_HANDLE = (
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMinorNumber",
    "nvmlDeviceGetGpuInstanceById",
    "nvmlGpuInstanceGetInfo",
    "nvmlGpuInstanceDestroy",
    "nvmlComputeInstanceGetInfo_v2",
    "nvmlComputeInstanceDestroy",
    "nvmlDeviceGetTopologyCommonAncestor",
    "nvmlDeviceGetNvLinkState",
    "nvmlDeviceGetTotalEccErrors",
    "nvmlDeviceGetFieldValues",
    "nvmlEventSetFree",
)


@pytest.mark.parametrize("function", ONE_HANDLE)
def test_a_handle_that_was_never_given_out_is_an_invalid_argument(
    node: Node, library: ctypes.CDLL, function: str
) -> None:
    for handle in (None, STRANGE):
        assert getattr(library, function)(handle, 0, 0, 0, 0) == pynvml.NVML_ERROR_INVALID_ARGUMENT


def test_answers_need_a_place(node: Node, library: ctypes.CDLL) -> None:
    gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    for function in (*ONE_HANDLE[:5], "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetArchitecture"):
        assert getattr(library, function)(gpu, None, None) == pynvml.NVML_ERROR_INVALID_ARGUMENT


def test_a_text_that_does_not_fit_is_not_written(node: Node, library: ctypes.CDLL) -> None:
    gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    room = ctypes.create_string_buffer(b"untouched")
    assert library.nvmlDeviceGetUUID(gpu, room, 9) == pynvml.NVML_ERROR_INSUFFICIENT_SIZE
    assert room.value == b"untouched"


def test_a_version_that_is_not_known_is_a_mismatch(node: Node, library: ctypes.CDLL) -> None:
    gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    structs: dict[str, tuple[Any, int]] = {
        "nvmlDeviceGetMemoryInfo_v2": (pynvml.c_nvmlMemory_v2_t(), 0x01000028),
        "nvmlDeviceGetGpuFabricInfoV": (pynvml.c_nvmlGpuFabricInfo_v2_t(), 0x07000024),
        "nvmlDeviceGetPciInfoExt": (pynvml.nvmlPciInfoExt_v1_t(), 0),
    }
    for function, (struct, version) in structs.items():
        struct.version = version
        answer = getattr(library, function)(gpu, ctypes.byref(struct))
        assert answer == pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH
    profile = pynvml.c_nvmlGpuInstanceProfileInfo_v2_t()
    profile.version = 0x04000098
    answer = library.nvmlDeviceGetGpuInstanceProfileInfoV(gpu, 0, ctypes.byref(profile))
    assert answer == pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH


def test_a_list_that_is_too_short_is_told_its_length(node: Node, library: ctypes.CDLL) -> None:
    gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    count, room = ctypes.c_uint(3), (pynvml.c_nvmlGpuInstancePlacement_t * 3)()
    answer = library.nvmlDeviceGetGpuInstancePossiblePlacements_v2(gpu, 19, room, ctypes.byref(count))
    assert (answer, count.value) == (pynvml.NVML_ERROR_INSUFFICIENT_SIZE, 7)
