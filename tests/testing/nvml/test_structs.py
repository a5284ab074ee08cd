"""The structs of the C library are those that pynvml hands over, byte for byte."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pynvml
import pytest

from partita_plugins.testing.compiling import C
from partita_plugins.testing.nvml.build import SOURCES, WARNINGS

STRUCTS = {
    "pci_info": pynvml.nvmlPciInfo_t,
    "pci_info_v2": pynvml.nvmlPciInfo_v2_t,
    "pci_info_ext": pynvml.nvmlPciInfoExt_v1_t,
    "memory": pynvml.c_nvmlMemory_t,
    "memory_v2": pynvml.c_nvmlMemory_v2_t,
    "bar1_memory": pynvml.c_nvmlBAR1Memory_t,
    "placement": pynvml.c_nvmlGpuInstancePlacement_t,
    "gpu_instance_profile": pynvml.c_nvmlGpuInstanceProfileInfo_t,
    "gpu_instance_profile_v2": pynvml.c_nvmlGpuInstanceProfileInfo_v2_t,
    "gpu_instance_info": pynvml.c_nvmlGpuInstanceInfo_t,
    "compute_profile": pynvml.c_nvmlComputeInstanceProfileInfo_t,
    "compute_profile_v2": pynvml.c_nvmlComputeInstanceProfileInfo_v2_t,
    "compute_instance_info": pynvml.c_nvmlComputeInstanceInfo_t,
    "attributes": pynvml.c_nvmlDeviceAttributes,
    "event_data": pynvml.c_nvmlEventData_t,
    "field_value": pynvml.c_nvmlFieldValue_t,
    "process": pynvml.c_nvmlProcessInfo_v3_t,
    "fabric_info": pynvml.c_nvmlGpuFabricInfo_t,
    "fabric_info_v2": pynvml.c_nvmlGpuFabricInfo_v2_t,
    "fabric_info_v3": pynvml.c_nvmlGpuFabricInfo_v3_t,
}

Layout = dict[str, int]


def _of_pynvml(name: str) -> Layout:
    struct = STRUCTS[name]
    return {"": ctypes.sizeof(struct), **{field[0]: getattr(struct, field[0]).offset for field in struct._fields_}}


def _program() -> str:
    lines = ["#include <stddef.h>", "#include <stdio.h>", '#include "abi.h"', "int main(void) {"]
    for name in STRUCTS:
        for member in _of_pynvml(name):
            value = f"offsetof(struct {name}, {member})" if member else f"sizeof(struct {name})"
            lines.append(f'printf("{name} %zu {member}\\n", {value});')
    return "\n".join([*lines, "}", ""])


@pytest.fixture(scope="module")
def of_c(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Layout]:
    """What the compiler makes of abi.h, by struct."""
    folder: Path = tmp_path_factory.mktemp("structs")
    (folder / "layout.c").write_text(_program())
    build = [*C.command, *WARNINGS, f"-I{SOURCES}", "-o", str(folder / "layout"), str(folder / "layout.c")]
    subprocess.run(build, check=True, timeout=240)
    said = subprocess.run([str(folder / "layout")], check=True, capture_output=True, text=True, timeout=60).stdout
    layouts: dict[str, Layout] = {}
    for line in said.splitlines():
        name, number, member = line.split(" ")
        layouts.setdefault(name, {})[member] = int(number)
    return layouts


@pytest.mark.parametrize("name", STRUCTS)
def test_size_and_offsets_are_pynvmls(of_c: dict[str, Layout], name: str) -> None:
    assert of_c[name] == _of_pynvml(name)
