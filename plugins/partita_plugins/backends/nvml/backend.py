"""The device backend of real GPUs: each call of the port, on a handle, through the session's door."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pynvml

from partita_plugins.backends.nvml import health, instances, mig, mode, processes
from partita_plugins.backends.nvml.answers import optional
from partita_plugins.backends.nvml.events import EventFeed
from partita_plugins.backends.nvml.host import Host
from partita_plugins.backends.nvml.library import find_library, load_library
from partita_plugins.backends.nvml.memory import GpuMemory, Memory, after_look
from partita_plugins.backends.nvml.modules import Modules
from partita_plugins.backends.nvml.names import Names
from partita_plugins.backends.nvml.node import NodeLook
from partita_plugins.backends.nvml.nodes import DeviceNodes
from partita_plugins.backends.nvml.session import Session
from partita_plugins.backends.nvml.tools import NvidiaSmi
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.gpu import NodeHardware
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.instances import ComputeInstance, ComputeMode, DeviceNode, GpuInstance, GpuProcess
from partita_plugins.model.mig import Placement

COMPUTE_MODES = {
    pynvml.NVML_COMPUTEMODE_DEFAULT: ComputeMode.DEFAULT,
    pynvml.NVML_COMPUTEMODE_PROHIBITED: ComputeMode.PROHIBITED,
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: ComputeMode.EXCLUSIVE_PROCESS,
}


class NvmlBackend:
    """DeviceBackend over NVML. Thread-safe: a GPU that hangs holds up nobody but its own callers."""

    def __init__(self, state_dir: Path, *, root: Path, device_root: Path, driver_root: Path | None = None) -> None:
        """`root` has the node's /proc, /sys and /dev, `driver_root` NVIDIA's libraries and programs, both as this
        process sees them; `device_root` is where the node has its device nodes."""
        roots = (driver_root or root, root)
        self._roots = roots
        self._host = Host(root)
        self._memory = Memory(state_dir / "memory.json", self._host.boot_id)
        self._session = Session(Names(self._host, self._memory), lambda: load_library(roots))
        self._events = EventFeed(self._session, self._memory)
        self._nodes = DeviceNodes(self._host, device_root)
        self._smi = NvidiaSmi(roots)
        self._modules = Modules(roots)
        self._node = NodeLook(self._session, self._host)

    def close(self) -> None:
        """Let go of the GPUs. The next call opens NVML again."""
        self._session.close()

    def driver_library(self, soname: str) -> Path | None:
        return find_library(self._roots, soname)

    def gpu_uuids(self) -> tuple[str, ...]:
        return self._session.uuids()

    def discover(self, *, without: Collection[str] = ()) -> NodeHardware:
        return self._node.discover(without)

    def set_mig_mode(self, gpu_uuid: str, *, enabled: bool) -> None:
        self._session.on(gpu_uuid, "switching MIG mode", lambda handle: mode.switch(handle, gpu_uuid, enabled=enabled))

    def gpu_instances(self, gpu_uuid: str) -> tuple[GpuInstance, ...]:
        return self._session.on(gpu_uuid, "listing GPU instances", lambda handle: instances.listed(handle, gpu_uuid))

    def create_gpu_instance(self, gpu_uuid: str, profile_id: int, placement: Placement) -> GpuInstance:
        return self._session.on(
            gpu_uuid,
            "making a GPU instance",
            lambda handle: instances.create(handle, gpu_uuid, profile_id, placement),
        )

    def destroy_gpu_instance(self, gpu_uuid: str, gpu_instance_id: int) -> None:
        doing = f"destroying GPU instance {gpu_instance_id}"
        self._session.on(gpu_uuid, doing, lambda handle: instances.destroy(handle, gpu_instance_id))

    def create_compute_instance(self, gpu_uuid: str, gpu_instance_id: int) -> ComputeInstance:
        doing = f"making the compute instance of GPU instance {gpu_instance_id}"
        return self._session.on(gpu_uuid, doing, lambda handle: instances.create_compute(handle, gpu_instance_id))

    def destroy_compute_instance(self, gpu_uuid: str, gpu_instance_id: int, compute_instance_id: int) -> None:
        self._session.on(
            gpu_uuid,
            f"destroying compute instance {compute_instance_id} of GPU instance {gpu_instance_id}",
            lambda handle: instances.destroy_compute(handle, gpu_instance_id, compute_instance_id),
        )

    def set_time_slice(self, gpu_uuid: str, interval: str) -> None:
        self._session.on(gpu_uuid, "setting the time slice", _require_whole)
        self._smi.set_time_slice(gpu_uuid, interval)

    def compute_mode(self, gpu_uuid: str) -> ComputeMode:
        return self._session.on(gpu_uuid, "reading the compute mode", _compute_mode)

    def set_compute_mode(self, gpu_uuid: str, mode: ComputeMode) -> None:
        self._session.on(gpu_uuid, "setting the compute mode", _require_whole)
        self._smi.set_compute_mode(gpu_uuid, mode)

    def processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        return self._session.on(gpu_uuid, "listing processes", lambda handle: processes.processes(handle, self._host))

    def device_nodes(self, gpu_uuid: str, instance: GpuInstance | None) -> tuple[DeviceNode, ...]:
        def numbers(handle: Any) -> tuple[int, GpuInstance | None]:
            found = instance and instances.find(handle, instance)
            return pynvml.nvmlDeviceGetMinorNumber(handle), found

        minor, found = self._session.on(gpu_uuid, "reading device numbers", numbers)
        return self._with_modules(lambda: self._nodes.of(minor, found))

    def monitor_nodes(self) -> tuple[DeviceNode, ...]:
        return self._with_modules(lambda: self._nodes.monitor(self._host.gpu_minors()))

    def _with_modules(self, numbered: Callable[[], tuple[DeviceNode, ...]]) -> tuple[DeviceNode, ...]:
        """Nodes by their numbers; nvidia-uvm has none on a node where nothing has computed since it booted."""
        try:
            return numbered()
        except BackendError as error:
            if error.code is not NvmlCode.NOT_READY:
                raise
        self._modules.load()
        return numbered()

    def health(self, gpu_uuid: str) -> tuple[HealthEvent, ...]:
        """As the port says. What is certain, and what is not:

        A driver that tells the recovery action (field 230, R570) says itself when a reset or a reboot is due, and its
        word is taken. Of an older one the XIDs are kept on disk, for NVML has no list of them. They are certainly over
        when the boot id has changed; that a GPU was reset is inferred from counters that went back (memory.after_look).
        An XID of before the backend's first start in this boot was told to nobody, and stays unknown.
        """
        try:
            return self._session.on(gpu_uuid, "reading the health", lambda handle: self._health(gpu_uuid, handle))
        except BackendError as error:
            if error.code is NvmlCode.GPU_IS_LOST:
                return (health.report(gpu_uuid, "gpu-lost"),)
            raise

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        return self._events.wait(timeout_seconds)

    def _health(self, gpu_uuid: str, handle: Any) -> tuple[HealthEvent, ...]:
        action = health.recovery_action(handle)
        kinds = (*health.state(handle, action), *([action] if action else []))
        kept = self._memory.gpu(gpu_uuid)
        if kept.xids:
            seen, counters = kept, health.counters(handle)
            kept = self._memory.change(
                gpu_uuid, lambda before: GpuMemory() if action is not None else after_look(before, counters, seen)
            )
        return (
            *(health.report(gpu_uuid, kind) for kind in kinds),
            *(one.event(gpu_uuid) for one in kept.xids),
        )


def _compute_mode(handle: Any) -> ComputeMode:
    found = optional(pynvml.nvmlDeviceGetComputeMode, handle, otherwise=pynvml.NVML_COMPUTEMODE_DEFAULT)
    return COMPUTE_MODES.get(found, ComputeMode.DEFAULT)


def _require_whole(handle: Any) -> None:
    if (mig.mode(handle) or (False, False))[0]:
        raise BackendError(
            NvmlCode.NOT_SUPPORTED, "that is for whole GPUs, and MIG is on", advice="switch MIG mode off first"
        )
