"""Processes on a GPU, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pynvml

from partita_plugins.backends.nvml.answers import optional
from partita_plugins.backends.nvml.host import Host
from partita_plugins.model.instances import GpuProcess

MIB = 2**20

DRAWING = "nvmlDeviceGetGraphicsRunningProcesses_v3"
LISTS = (DRAWING, "nvmlDeviceGetMPSComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v3")
"""In this order: one that draws and computes is one that computes."""

NAMED_MAX = 5
"""Processes in a piece of advice."""

NOBODY = (
    "no process is listed: a monitoring agent that only has the GPU open does this (dcgm, an exporter, "
    "nvidia-persistenced); stop or restart it"
)


def processes(handle: Any, host: Host | None = None) -> tuple[GpuProcess, ...]:
    """Whoever computes or draws on a GPU or its instances, each once, by PID."""
    found = {(one.pid, one.gpu_instance_id): one for one in _listed(handle, host)}
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or 0)))


def _listed(handle: Any, host: Host | None) -> Iterator[GpuProcess]:
    for name in LISTS:
        for one in optional(getattr(pynvml, name), handle, otherwise=()):
            whole = one.gpuInstanceId == pynvml.NVML_GPU_INSTANCE_ID_ANY
            yield GpuProcess(
                pid=one.pid,
                name=_name(one.pid, host),
                memory_mib=None if one.usedGpuMemory is None else one.usedGpuMemory // MIB,
                gpu_instance_id=None if whole else one.gpuInstanceId,
                only_draws=name == DRAWING,
            )


def _name(pid: int, host: Host | None) -> str:
    """As NVML has it; by /proc where it is of another PID namespace than ours."""
    try:
        return str(pynvml.nvmlSystemGetProcessName(pid)).rpartition("/")[2]
    except pynvml.NVMLError:  # a process without a name is told all the same
        return host.process_name(pid) if host else ""


def holders(handle: Any) -> str:
    """Advice for whoever is told that a GPU is in use."""
    try:
        found = processes(handle)
    except pynvml.NVMLError:
        found = ()
    if not found:
        return NOBODY
    named = ", ".join(f"{one.name or 'a process'} (PID {one.pid})" for one in found[:NAMED_MAX])
    more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
    return f"stop {named}{more}"
