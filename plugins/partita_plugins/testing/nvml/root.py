"""The files of a node with NVIDIA's driver, as far as anybody looks at them: /proc, /sys and /dev below a folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from partita_plugins.backends.files import write_atomically
from partita_plugins.backends.simulated.machine import MINOR_SETS, SimulatedMachine
from partita_plugins.backends.simulated.nodes import (
    CAPS_CONFIG,
    CAPS_MAJOR,
    CAPS_MONITOR,
    CAPS_PER_GPU_INSTANCE,
    GPU_INSTANCES,
    NVIDIA_MAJOR,
    UVM_MAJOR,
    DeviceFolder,
    compute_cap_minor,
    gpu_cap_minor,
)
from partita_plugins.model.gpu import Gpu

BOOT_ID_DEPTH = 5
"""Folders between the state folder and the file in /proc."""

DEVICES = f"""Character devices:
  1 mem
{NVIDIA_MAJOR} nvidia
{NVIDIA_MAJOR} nvidia-modeset
{NVIDIA_MAJOR} nvidiactl
{CAPS_MAJOR} nvidia-caps
{UVM_MAJOR} nvidia-uvm

Block devices:
259 blkext
"""


def lay_out_root(root: Path, machine: SimulatedMachine) -> None:
    """Write them all. Device nodes are real ones where this process may make them; those of MIG instances are not made,
    as on a node where nobody has asked nvidia-modprobe for them."""
    driver_version = machine.hardware.driver_version
    _write(root / "proc/devices", DEVICES)
    _write(root / "proc/driver/nvidia/version", f"NVRM version: NVIDIA UNIX Open Kernel Module  {driver_version}\n")
    _write(root / "proc/driver/nvidia-caps/mig-minors", "".join(f"{line}\n" for line in _mig_minors(machine)))
    _lay_out_boot_id(root / "proc/sys/kernel/random/boot_id", machine)
    for gpu in machine.hardware.gpus:
        _write(root / f"proc/driver/nvidia/gpus/{gpu.pci_bus_id}/information", _information(gpu, machine))
        _lay_out_pci(root / "sys", gpu)
    for folder in (root / "tmp", root / "dev/shm"):
        folder.mkdir(parents=True, exist_ok=True)
    DeviceFolder(root / "dev").monitor(minors(machine), mig=any(gpu.mig for gpu in machine.hardware.gpus))


def _lay_out_boot_id(path: Path, machine: SimulatedMachine) -> None:
    """The kernel's word for this boot: a simulated reboot changes it."""
    if not machine.boot_id.exists():
        write_atomically(machine.boot_id, f"{uuid.uuid4()}\n".encode())
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(Path(*[".."] * BOOT_ID_DEPTH) / machine.boot_id.name)


def minors(machine: SimulatedMachine) -> range:
    """Every N that a /dev/nvidiaN of this machine can ever have."""
    return range(len(machine.hardware.gpus) * (MINOR_SETS if machine.record.shuffle_minors else 1))


def _mig_minors(machine: SimulatedMachine) -> Iterator[str]:
    yield f"config {CAPS_CONFIG}"
    yield f"monitor {CAPS_MONITOR}"
    for gpu, instance in product(minors(machine), range(GPU_INSTANCES)):
        yield f"gpu{gpu}/gi{instance}/access {gpu_cap_minor(gpu, instance)}"
        for compute in range(CAPS_PER_GPU_INSTANCE - 1):
            yield f"gpu{gpu}/gi{instance}/ci{compute}/access {compute_cap_minor(gpu, instance, compute)}"


def _information(gpu: Gpu, machine: SimulatedMachine) -> str:
    """What the kernel module says of a GPU. Where minors move, they are left to /dev: this file would not move."""
    said = {"Model": gpu.product, "GPU UUID": gpu.uuid, "Bus Type": "PCIe", "Bus Location": gpu.pci_bus_id}
    if not machine.record.shuffle_minors:
        said["Device Minor"] = str(gpu.minor)
    return "".join(f"{name}:\t {value}\n" for name, value in said.items())


def _lay_out_pci(sys: Path, gpu: Gpu) -> None:
    """The GPU behind one bridge of its root complex, and its NUMA node (-1: the firmware does not say)."""
    bridge = f"{gpu.pcie_root.removeprefix('pci')}:01.0"
    device = Path("devices") / gpu.pcie_root / bridge / gpu.pci_bus_id
    _write(sys / device / "numa_node", f"{-1 if gpu.numa_node is None else gpu.numa_node}\n")
    link = sys / "bus/pci/devices" / gpu.pci_bus_id
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(Path("../../..") / device)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
