"""Discovery against nvidia-smi: two readings of the same cards must agree."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from hack.gpucheck.report import Section

from partita_plugins.backends.nvml.library import find
from partita_plugins.backends.nvml.tools import PLACES
from partita_plugins.contracts import DeviceBackend
from partita_plugins.model.gpu import Gpu, NodeHardware
from partita_plugins.model.instances import ComputeMode
from partita_plugins.rooted import seen

SECONDS = 60.0
NOT_SAID = frozenset({"[N/A]", "N/A", "[Not Supported]"})


def _mig(gpu: Gpu, *, pending: bool) -> str:
    if gpu.mig is None:
        return "[N/A]"
    return "Enabled" if (gpu.mig.pending if pending else gpu.mig.enabled) else "Disabled"


FIELDS: dict[str, Callable[[NodeHardware, Gpu], str]] = {
    "uuid": lambda _, gpu: gpu.uuid,
    "pci.bus_id": lambda _, gpu: gpu.pci_bus_id,
    "name": lambda _, gpu: gpu.product,
    "driver_version": lambda hardware, _: hardware.driver_version,
    "memory.total": lambda _, gpu: str(gpu.memory_mib),
    "compute_cap": lambda _, gpu: gpu.compute_capability,
    "mig.mode.current": lambda _, gpu: _mig(gpu, pending=False),
    "mig.mode.pending": lambda _, gpu: _mig(gpu, pending=True),
}
"""Field of --query-gpu to what discovery says of it."""


COMPUTE_MODES = {
    ComputeMode.DEFAULT: "Default",
    ComputeMode.EXCLUSIVE_PROCESS: "Exclusive_Process",
    ComputeMode.PROHIBITED: "Prohibited",
}


def compared(hardware: NodeHardware, backend: DeviceBackend, host_root: Path, driver_root: Path) -> Section:
    """One row for each GPU and field that differs."""
    program = find((seen(host_root, str(driver_root)), host_root), PLACES)
    if program is None:
        return Section(title="nvidia-smi", passed=False, remark="There is no nvidia-smi to compare with.")
    try:
        rows = _asked(program)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Section(title="nvidia-smi", passed=False, remark=f"nvidia-smi has no answer to compare with: {error}")
    found = {gpu.uuid: gpu for gpu in hardware.gpus}
    differing: list[tuple[str, ...]] = []
    for row in rows:
        gpu = found.pop(row["uuid"], None)
        if gpu is None:
            differing.append((row["uuid"], "uuid", row["uuid"], "not discovered"))
            continue
        ours = {field: say(hardware, gpu) for field, say in FIELDS.items()}
        ours["compute_mode"] = COMPUTE_MODES[backend.compute_mode(gpu.uuid)]
        for field, mine in ours.items():
            told = _plain(field, row[field])
            if told != mine and not {told, mine} & NOT_SAID:
                differing.append((gpu.pci_bus_id, field, told, mine))
    differing += [(gpu.pci_bus_id, "uuid", "not listed", uuid) for uuid, gpu in found.items()]
    remark = f"{len(rows)} GPUs, {len(FIELDS) + 1} fields each; {len(differing)} differ."
    columns = ("GPU", "field", "nvidia-smi", "discovery")
    return Section(title="nvidia-smi", passed=not differing, columns=columns, rows=differing, remark=remark)


def _asked(program: Path) -> list[dict[str, str]]:
    fields = [*FIELDS, "compute_mode"]
    command: Sequence[str] = [str(program), f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise ValueError((done.stdout + done.stderr).strip()[-200:] or f"exit status {done.returncode}")
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return [dict(zip(fields, row, strict=True)) for row in rows]


def _plain(field: str, text: str) -> str:
    """nvidia-smi writes PCI domains with eight digits, and in capitals."""
    return text.lower().removeprefix("0000") if field == "pci.bus_id" else text
