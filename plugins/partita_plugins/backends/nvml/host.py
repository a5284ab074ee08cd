"""What the node's kernel says of GPUs, without asking any: /proc and /sys under the node's root."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT_COMPLEX = re.compile(r"pci[0-9a-f]{4,}:[0-9a-f]{2}")
_GPUS = "proc/driver/nvidia/gpus"
_GPU_MINOR = re.compile(r"^Device Minor:\s*(\d+)\s*$", re.MULTILINE)
_GPU_NODE = re.compile(r"nvidia(\d+)")
_GPU_UUID = re.compile(r"^GPU UUID:\s*(GPU-[0-9a-f-]{36})\s*$", re.MULTILINE)


def is_whole_node(root: Path) -> bool:
    """Whether a folder is a node's root with NVIDIA's kernel module: its /proc, not only the driver's libraries."""
    return (root / "proc/driver/nvidia").is_dir()


class Host:
    """One node's file system. What is not there is answered with None or nothing, never with an error."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, path: str) -> str:
        """A small file whole; empty where it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    @property
    def boot_id(self) -> str:
        """What tells one boot from the next."""
        path = "proc/sys/kernel/random/boot_id"
        return (self.text(path) or Host(Path("/")).text(path)).strip()

    def numa_node(self, pci_bus_id: str) -> int | None:
        """NUMA node of a PCI device; None where there is one node, or the firmware does not say (-1)."""
        node = self.text(f"sys/bus/pci/devices/{pci_bus_id}/numa_node").strip()
        return int(node) if node.isdecimal() else None

    def pcie_root(self, pci_bus_id: str) -> str:
        """The root complex above a PCI device, as Kubernetes spells it ("pci0000:07"); empty where sysfs is not there.

        It is the first part of the device's real path that has the form pci<domain>:<bus>
        (k8s.io/dynamic-resource-allocation/deviceattribute).
        """
        device = self.root / "sys/bus/pci/devices" / pci_bus_id
        parts = device.resolve().parts if device.exists() else ()
        return next((part for part in parts if _ROOT_COMPLEX.fullmatch(part)), "")

    def gpu_uuids(self) -> tuple[str, ...]:
        """UUIDs of all GPUs that the kernel module drives, lost ones too, by PCI address: NVML's order."""
        found = (_GPU_UUID.search(text) for text in self._gpus())
        return tuple(match[1] if match else "" for match in found)

    def gpu_minors(self) -> tuple[int, ...]:
        """N of /dev/nvidiaN of all those GPUs, ascending; of the nodes in /dev where the module does not say."""
        found = {int(match[1]) for text in self._gpus() if (match := _GPU_MINOR.search(text))}
        nodes = {int(match[1]) for name in self._names("dev") if (match := _GPU_NODE.fullmatch(name))}
        return tuple(sorted(found or nodes))

    def _gpus(self) -> list[str]:
        """What the kernel module says of each GPU that it drives, by PCI address."""
        return [self.text(f"{_GPUS}/{address}/information") for address in self._names(_GPUS)]

    def _names(self, folder: str) -> list[str]:
        try:
            return sorted(path.name for path in (self.root / folder).iterdir())
        except OSError:
            return []

    def process_name(self, pid: int) -> str:
        """Name of a process's program; empty where it has ended or is not to be seen."""
        return self.text(f"proc/{pid}/comm").strip()
