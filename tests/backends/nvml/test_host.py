"""What is read from a node's /proc and /sys, in a folder that looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from partita_plugins.backends.nvml.host import Host
from partita_plugins.backends.nvml.memory import Memory
from partita_plugins.backends.nvml.names import Names
from partita_plugins.backends.nvml.nodes import DeviceNodes
from partita_plugins.errors import NvmlCode
from partita_plugins.model.instances import ComputeInstance, GpuInstance
from partita_plugins.model.mig import Placement
from partita_plugins.testing.contracts.answers import refused

A, B, C = (f"GPU-{digit * 8}-0000-4000-8000-000000000000" for digit in "abc")
INSTANCE = GpuInstance(
    gpu_uuid=A,
    gpu_instance_id=2,
    profile_id=9,
    placement=Placement(4, 4),
    compute_instances=(ComputeInstance(compute_instance_id=0, mig_uuid="MIG-1"),),
)
DEVICES = """Character devices:
  1 mem
195 nvidia
195 nvidiactl
237 nvidia-caps
511 nvidia-uvm

Block devices:
  7 loop
 66 nvidia-uvm
"""


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "proc/devices", DEVICES)
    write(tmp_path, "proc/driver/nvidia-caps/mig-minors", "config 1\nmonitor 2\ngpu3/gi2/access 30\n")
    ci0 = "DeviceFileMinor: 31\nDeviceFileMode: 256\nDeviceFileModify: 1\n"
    write(tmp_path, "proc/driver/nvidia/capabilities/gpu3/mig/gi2/ci0/access", ci0)
    return tmp_path


@pytest.mark.parametrize(("text", "node"), [("0\n", 0), ("7\n", 7), ("-1\n", None), ("", None)])
def test_a_numa_node_that_the_firmware_does_not_tell_is_none(root: Path, text: str, node: int | None) -> None:
    write(root, "sys/bus/pci/devices/0000:07:00.0/numa_node", text)
    assert Host(root).numa_node("0000:07:00.0") == node


def test_the_pcie_root_is_the_complex_above_all_bridges(root: Path) -> None:
    real = root / "sys/devices/pci0008:00/0008:00:00.0/0008:01:00.0"
    real.mkdir(parents=True)
    link = root / "sys/bus/pci/devices/0008:01:00.0"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../../devices/pci0008:00/0008:00:00.0/0008:01:00.0")
    assert Host(root).pcie_root("0008:01:00.0") == "pci0008:00"
    assert Host(root).pcie_root("0009:01:00.0") == ""


def test_nodes_have_the_majors_of_their_character_devices(root: Path) -> None:
    nodes = {node.path: (node.major, node.minor) for node in DeviceNodes(Host(root)).of(3, None)}
    assert nodes == {
        "/dev/nvidia3": (195, 3),
        "/dev/nvidiactl": (195, 255),
        "/dev/nvidia-uvm": (511, 0),
        "/dev/nvidia-uvm-tools": (511, 1),
    }


def test_an_instances_access_nodes_come_from_the_list_or_from_the_capabilities(root: Path) -> None:
    *_, gpu_instance, compute_instance = DeviceNodes(Host(root)).of(3, INSTANCE)
    assert (gpu_instance.path, gpu_instance.major, gpu_instance.mode) == ("/dev/nvidia-caps/nvidia-cap30", 237, 0o444)
    assert (compute_instance.path, compute_instance.minor) == ("/dev/nvidia-caps/nvidia-cap31", 31)
    assert compute_instance.mode == 0o400


@pytest.mark.parametrize(("device_root", "host_path"), [("/", "/dev/nvidia3"), ("/run/node", "/run/node/dev/nvidia3")])
def test_nodes_are_where_the_container_runtime_finds_them(root: Path, device_root: str, host_path: str) -> None:
    first, *_ = DeviceNodes(Host(root), Path(device_root)).of(3, None)
    assert (first.path, first.host_path) == ("/dev/nvidia3", host_path)


def test_a_monitor_gets_all_gpus_and_the_monitors_capability(root: Path) -> None:
    for minor in (0, 3, 10):
        write(root, f"dev/nvidia{minor}", "")
    paths = [node.path for node in DeviceNodes(Host(root)).monitor(Host(root).gpu_minors())]
    assert paths[:3] == ["/dev/nvidia0", "/dev/nvidia3", "/dev/nvidia10"]
    assert paths[-1] == "/dev/nvidia-caps/nvidia-cap2"
    write(root, "proc/driver/nvidia/gpus/0000:07:00.0/information", "Device Minor: \t 5\n")
    assert Host(root).gpu_minors() == (5,)


def test_a_node_without_a_number_is_an_error_and_never_left_out(root: Path) -> None:
    with refused(NvmlCode.NOT_READY):
        DeviceNodes(Host(root)).of(4, INSTANCE)
    write(root, "proc/devices", DEVICES.replace("511 nvidia-uvm\n", ""))
    with refused(NvmlCode.NOT_READY):
        DeviceNodes(Host(root)).of(3, None)


def test_a_gpu_that_does_not_answer_is_known_by_the_kernel_module(root: Path, tmp_path: Path) -> None:
    for bus, uuid in (("0000:0f:00.0", B), ("0000:07:00.0", A)):
        write(root, f"proc/driver/nvidia/gpus/{bus}/information", f"Model: \t NVIDIA H100\nGPU UUID: \t {uuid}\n")
    names = Names(Host(root), Memory(tmp_path / "memory.json", "boot"))
    assert names.completed((A, "")) == (A, B)
    assert names.completed((B, "")) == (B, "")
    assert names.completed((A, "", "")) == (A, "", "")


def test_a_gpu_that_does_not_answer_is_known_from_earlier_in_this_boot(tmp_path: Path) -> None:
    names = Names(Host(tmp_path), Memory(tmp_path / "memory.json", "boot"))
    assert names.completed((A, B, C)) == (A, B, C)
    assert names.completed(("", B, "")) == (A, B, C)
    later = Names(Host(tmp_path), Memory(tmp_path / "memory.json", "another boot"))
    assert later.completed(("", B, "")) == ("", B, "")
