"""Device nodes of GPUs and instances: their numbers, from the kernel's own lists.

A node may not exist yet: nvidia-modprobe makes those of nvidia-caps when somebody asks. Numbers are enough for a
container runtime, so nothing is made here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from partita_plugins.backends.nvml.host import Host
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.instances import DeviceNode, GpuInstance

NVIDIA_MAJOR = 195
"""Registered for NVIDIA (Documentation/admin-guide/devices.txt); the others are dynamic."""

CAPS, CAPS_MODE = "nvidia-caps/nvidia-cap", 0o444


@dataclass(frozen=True, slots=True)
class Control:
    """A node that every container with a GPU gets."""

    name: str
    owners: tuple[str, ...]
    """Names of its driver in /proc/devices; newer modules have one for each node."""

    minor: int
    always: bool
    """False: only where the node has it."""


FRONTEND = ("nvidia-frontend", "nvidia")

CONTROLS = (
    Control("nvidiactl", ("nvidiactl", *FRONTEND), 255, always=True),
    Control("nvidia-uvm", ("nvidia-uvm",), 0, always=True),
    Control("nvidia-uvm-tools", ("nvidia-uvm",), 1, always=True),
    Control("nvidia-modeset", ("nvidia-modeset", *FRONTEND), 254, always=False),
)

_DEVICE = re.compile(r"^\s*(\d+)\s+(\S+)\s*$", re.MULTILINE)
_CAP = re.compile(r"^(\S+)\s+(\d+)\s*$", re.MULTILINE)
_FIELD = re.compile(r"^(\w+):\s*(\d+)\s*$", re.MULTILINE)


class DeviceNodes:
    """The numbers of one node, read anew at each call: a reload of the driver changes the dynamic ones."""

    def __init__(self, host: Host, device_root: Path = Path("/")) -> None:
        self._host, self._device_root = host, device_root

    def of(self, gpu_minor: int, instance: GpuInstance | None) -> tuple[DeviceNode, ...]:
        """The nodes of a whole GPU, or of an instance with its compute instances. NOT_READY where one has no number."""
        majors = self._majors()
        nodes = [*self._gpus((gpu_minor,), majors), *self._controls(majors)]
        if instance is not None:
            of_instance = f"gpu{gpu_minor}/gi{instance.gpu_instance_id}"
            nodes.append(self._cap(of_instance, majors))
            nodes += (
                self._cap(f"{of_instance}/ci{one.compute_instance_id}", majors) for one in instance.compute_instances
            )
        return tuple(nodes)

    def monitor(self, gpu_minors: Iterable[int]) -> tuple[DeviceNode, ...]:
        """The nodes for looking at all these GPUs, with nvidia-caps' "monitor" where the driver has one."""
        majors = self._majors()
        minor, major = self._cap_minors().get("monitor"), majors.get("nvidia-caps")
        caps = [] if minor is None or major is None else [self._numbered(f"{CAPS}{minor}", major, minor, CAPS_MODE)]
        return (*self._gpus(gpu_minors, majors), *self._controls(majors), *caps)

    def _gpus(self, gpu_minors: Iterable[int], majors: dict[str, int]) -> list[DeviceNode]:
        return [self._node(f"nvidia{minor}", majors, FRONTEND, minor) for minor in gpu_minors]

    def _controls(self, majors: dict[str, int]) -> list[DeviceNode]:
        return [
            self._node(control.name, majors, control.owners, control.minor)
            for control in CONTROLS
            if control.always or self._stat(control.name)
        ]

    def _majors(self) -> dict[str, int]:
        characters = self._host.text("proc/devices").partition("Block devices:")[0]
        return {name: int(major) for major, name in _DEVICE.findall(characters)}

    def _node(self, name: str, majors: dict[str, int], owners: tuple[str, ...], minor: int) -> DeviceNode:
        major = next((majors[owner] for owner in owners if owner in majors), None) or self._stat(name)
        if major is None and "nvidia" in owners:
            major = NVIDIA_MAJOR
        if major is None:
            raise BackendError(
                NvmlCode.NOT_READY,
                f"/dev/{name} has no major number: its kernel module is not loaded",
                advice="run `nvidia-modprobe -u -c=0` on the node",
            )
        return self._numbered(name, major, minor)

    def _stat(self, name: str) -> int | None:
        """Major number of a node that is there."""
        try:
            found = (self._host.root / "dev" / name).stat()
        except OSError:
            return None
        return os.major(found.st_rdev) if stat.S_ISCHR(found.st_mode) else None

    def _cap(self, owner: str, majors: dict[str, int]) -> DeviceNode:
        """The access node of an instance, by its path in the driver's capabilities: "gpu0/gi1/ci0"."""
        described = self._described(owner)
        minor = self._cap_minors().get(f"{owner}/access", described.get("DeviceFileMinor"))
        major = majors.get("nvidia-caps")
        if minor is None or major is None:
            raise BackendError(
                NvmlCode.NOT_READY,
                f"{owner} has no capability node",
                advice="look for nvidia-caps in /proc/devices and for it in /proc/driver/nvidia-caps/mig-minors",
            )
        return self._numbered(f"{CAPS}{minor}", major, minor, described.get("DeviceFileMode", CAPS_MODE))

    def _numbered(self, name: str, major: int, minor: int, mode: int = 0o666) -> DeviceNode:
        host_path = str(self._device_root / "dev" / name)
        return DeviceNode(path=f"/dev/{name}", host_path=host_path, major=major, minor=minor, mode=mode)

    def _cap_minors(self) -> dict[str, int]:
        """All that the driver can ever give out, by path."""
        return {path: int(minor) for path, minor in _CAP.findall(self._host.text("proc/driver/nvidia-caps/mig-minors"))}

    def _described(self, owner: str) -> dict[str, int]:
        """What the driver says of one that is given out now."""
        gpu, _, rest = owner.partition("/")
        text = self._host.text(f"proc/driver/nvidia/capabilities/{gpu}/mig/{rest}/access")
        return {key: int(value) for key, value in _FIELD.findall(text)}
