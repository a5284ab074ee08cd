"""Device nodes: real character devices where the process may make them, so that a container can see exactly its own.

Without the right to make them, plain files stand in; the numbers in DeviceNode are the same either way.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from partita_plugins.model.instances import DeviceNode, GpuInstance

NVIDIA_MAJOR = 195
CONTROL_MINOR = 255
UVM_MAJOR = 511
CAPS_MAJOR = 237
"""Of nvidia-caps: dynamic on real nodes, listed in /proc/devices."""

CAPS_MODE = 0o444

# Minors of nvidia-caps as real drivers number them: 1 and 2 are config and monitor, then for each GPU 15 GPU
# instances, each followed by its 8 compute instances.
CAPS_CONFIG = 1
CAPS_MONITOR = 2
CAPS_FIRST = 3
GPU_INSTANCES = 15
CAPS_PER_GPU_INSTANCE = 9
CAPS_PER_GPU = GPU_INSTANCES * CAPS_PER_GPU_INSTANCE


def gpu_cap_minor(gpu_minor: int, gpu_instance_id: int) -> int:
    """Minor of a GPU instance's access node, unique on the machine."""
    return CAPS_FIRST + gpu_minor * CAPS_PER_GPU + gpu_instance_id * CAPS_PER_GPU_INSTANCE


def compute_cap_minor(gpu_minor: int, gpu_instance_id: int, compute_instance_id: int) -> int:
    """Minor of a compute instance's access node."""
    return gpu_cap_minor(gpu_minor, gpu_instance_id) + 1 + compute_instance_id


class DeviceFolder:
    """The simulated /dev of one machine, kept in its state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, gpu_minor: int, instance: GpuInstance | None) -> tuple[DeviceNode, ...]:
        """The nodes of a whole GPU or of one instance with its compute instances, made where they are missing."""
        return _made(self.listed(gpu_minor, instance))

    def monitor(self, gpu_minors: Iterable[int], *, mig: bool) -> tuple[DeviceNode, ...]:
        """The nodes of all these GPUs, and with `mig` the one that lets a program look at instances."""
        nodes = {node.path: node for minor in gpu_minors for node in self.listed(minor, None)}
        return _made((*nodes.values(), *([self._cap(CAPS_MONITOR)] if mig else [])))

    def listed(self, gpu_minor: int, instance: GpuInstance | None) -> tuple[DeviceNode, ...]:
        """The same, whether they are there or not."""
        nodes = [
            self._node(f"nvidia{gpu_minor}", NVIDIA_MAJOR, gpu_minor),
            self._node("nvidiactl", NVIDIA_MAJOR, CONTROL_MINOR),
            self._node("nvidia-uvm", UVM_MAJOR, 0),
            self._node("nvidia-uvm-tools", UVM_MAJOR, 1),
        ]
        if instance is not None:
            nodes.append(self._cap(gpu_cap_minor(gpu_minor, instance.gpu_instance_id)))
            nodes += (
                self._cap(compute_cap_minor(gpu_minor, instance.gpu_instance_id, one.compute_instance_id))
                for one in instance.compute_instances
            )
        return tuple(nodes)

    def clear(self) -> None:
        """Forget all nodes, as a reboot does: /dev lives in memory."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _node(self, name: str, major: int, minor: int, mode: int = 0o666) -> DeviceNode:
        return DeviceNode(path=f"/dev/{name}", host_path=str(self._folder / name), major=major, minor=minor, mode=mode)

    def _cap(self, minor: int) -> DeviceNode:
        return self._node(f"nvidia-caps/nvidia-cap{minor}", CAPS_MAJOR, minor, CAPS_MODE)


def _made(nodes: tuple[DeviceNode, ...]) -> tuple[DeviceNode, ...]:
    for node in nodes:
        _make(Path(node.host_path), node)
    return nodes


def _make(path: Path, node: DeviceNode) -> None:
    """Make one node, whole and with its mode at once, whoever else makes it; a stand-in of before is replaced."""
    if _is_device(path, node):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        os.mknod(temporary, stat.S_IFCHR | node.mode, os.makedev(node.major, node.minor))
        temporary.chmod(node.mode)  # mknod heeds the umask
        temporary.replace(path)
    except PermissionError:
        path.touch()


def _is_device(path: Path, node: DeviceNode) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(node.major, node.minor)
