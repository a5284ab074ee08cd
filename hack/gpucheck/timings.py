"""How long the backend's getters take: what the driver's deadlines and its look at the hardware are made of."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from hack.gpucheck.report import Section

from partita_plugins.contracts import DeviceBackend
from partita_plugins.errors import PartitaError
from partita_plugins.model.gpu import NodeHardware

COLUMNS = ("call", "median", "fastest", "slowest")


def measured(backend: DeviceBackend, hardware: NodeHardware, rounds: int) -> Section:
    """One row a call, in milliseconds."""
    uuid = hardware.gpus[0].uuid if hardware.gpus else ""
    calls: dict[str, Callable[[], object]] = {
        "gpu_uuids": backend.gpu_uuids,
        "discover, all GPUs": backend.discover,
        "gpu_instances": lambda: backend.gpu_instances(uuid),
        "device_nodes": lambda: backend.device_nodes(uuid, None),
        "health": lambda: backend.health(uuid),
        "processes": lambda: backend.processes(uuid),
        "compute_mode": lambda: backend.compute_mode(uuid),
    }
    rows = [(name, *_figures(call, rounds)) for name, call in calls.items()] if uuid else []
    remark = f"{rounds} calls each after a first one, one after the other, in milliseconds."
    return Section(
        title="timings", passed=all(row[-1] != "-" for row in rows), columns=COLUMNS, rows=rows, remark=remark
    )


def _figures(call: Callable[[], object], rounds: int) -> tuple[str, str, str]:
    try:
        call()
    except PartitaError as error:
        return str(error), "-", "-"
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return f"{statistics.median(took):.2f}", f"{min(took):.2f}", f"{max(took):.2f}"
