"""Compiled kernels: which device loads which, and what is said where there are none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from partita_plugins import registry
from partita_plugins.backends.nvml import NvmlBackend
from partita_plugins.backends.simulated import SimulatedBackend
from partita_plugins.contracts import DriverLibraries
from partita_plugins.errors import InvalidInput, NvmlCode
from partita_plugins.validators.cuda.port import DeviceFailed, Unavailable
from partita_plugins.validators.cupy.images import image_for, require_images
from partita_plugins.validators.cupy.refusals import as_unavailable
from partita_plugins.validators.cupy.validator import cupy_validator
from partita_plugins.validators.kernels import NAMES


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        (70, "sm_70.cubin"),
        (72, "sm_70.cubin"),
        (75, "sm_75.cubin"),
        (80, "sm_80.cubin"),
        (87, "sm_86.cubin"),
        (90, "sm_90.cubin"),
        (101, "sm_100.cubin"),
        (103, "sm_103.cubin"),
        (110, "compute_90.ptx"),
        (121, "sm_120.cubin"),
        (130, "compute_90.ptx"),
    ],
)
def test_a_device_loads_a_cubin_of_its_major_version_or_ptx(capability: int, name: str) -> None:
    assert image_for(capability).name == name
    assert name in NAMES


def test_a_gpu_that_is_older_than_all_kernels_is_refused_with_advice() -> None:
    with pytest.raises(Unavailable, match=r"no kernels for compute capability 6\.0") as caught:
        image_for(60)
    assert caught.value.code is NvmlCode.NOT_SUPPORTED
    assert "from 7.0 on" in caught.value.advice


def test_kernels_that_are_not_there_are_named_with_what_makes_them(tmp_path: Path) -> None:
    for name in NAMES[1:]:
        (tmp_path / name).touch()
    with pytest.raises(InvalidInput, match=r"sm_70\.cubin are not there; run hack/kernels"):
        require_images(tmp_path)
    (tmp_path / NAMES[0]).touch()
    require_images(tmp_path)


def test_the_cupy_validator_is_for_real_gpus(node: SimulatedBackend) -> None:
    with pytest.raises(InvalidInput, match="real GPUs alone; give --validator reference"):
        registry.load("partita.validators", "cupy")(node)


def test_without_cupy_the_driver_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InvalidInput, match=r"install partita\[cuda12\]"):
        cupy_validator(NvmlBackend(tmp_path, root=tmp_path, device_root=tmp_path))


def test_what_cuda_says_of_the_node_blames_no_device() -> None:
    told = as_unavailable(DeviceFailed(46, "all CUDA-capable devices are busy or unavailable"))
    assert isinstance(told, Unavailable)
    assert told.code is NvmlCode.IN_USE
    uncorrectable = DeviceFailed(214, "uncorrectable ECC error encountered")
    assert as_unavailable(uncorrectable) is uncorrectable


def test_children_load_the_driver_s_libraries_from_where_the_node_has_them(tmp_path: Path) -> None:
    library = tmp_path / "usr/lib64/libcuda.so.1"
    library.parent.mkdir(parents=True)
    library.touch()
    backend = NvmlBackend(tmp_path / "state", root=tmp_path, device_root=tmp_path)
    assert isinstance(backend, DriverLibraries)
    assert backend.driver_library("libcuda.so.1") == library
    assert backend.driver_library("libnvidia-ptxjitcompiler.so.1") is None
