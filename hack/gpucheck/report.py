"""The report: what was looked at, and how it came out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from partita_plugins.model.gpu import Gpu, NodeHardware


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the report."""

    title: str
    passed: bool
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    remark: str = ""
    ran: bool = True

    @property
    def outcome(self) -> str:
        """What its heading says."""
        if not self.ran:
            return "not run"
        return "passed" if self.passed else "FAILED"


def as_markdown(hardware: NodeHardware, sections: Sequence[Section], now: datetime) -> str:
    """The report as a page: what the machine is, then one table a section."""
    products = " and ".join(sorted({gpu.product for gpu in hardware.gpus}))
    node = f"driver {hardware.driver_version}, CUDA {hardware.cuda_version}, {len(hardware.gpus)} GPUs"
    parts = [
        f"# {products or 'no GPU'}",
        f"{now:%Y-%m-%d}, {node}. Made by `hack/gpu-check`, which changes nothing on the cards.",
        *(_gpus(hardware)),
    ]
    for section in sections:
        parts.append(f"## {section.title}: {section.outcome}")
        if section.remark:
            parts.append(section.remark)
        if section.rows:
            parts.append(table(section.columns, section.rows))
    return "\n\n".join(parts)


def file_name(hardware: NodeHardware, now: datetime) -> str:
    """A name after the GPU and the day: "nvidia-h100-80gb-hbm3-2026-01-31.md"."""
    product = hardware.gpus[0].product if hardware.gpus else "no-gpu"
    return f"{re.sub('[^a-z0-9]+', '-', product.lower()).strip('-')}-{now:%Y-%m-%d}.md"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _gpus(hardware: NodeHardware) -> list[str]:
    columns = ("PCI", "architecture", "memory MiB", "SMs", "NUMA", "PCIe root", "MIG", "profiles", "fabric")
    return [table(columns, [_gpu(gpu) for gpu in hardware.gpus])]


def _gpu(gpu: Gpu) -> tuple[str, ...]:
    mig = gpu.mig
    mode = "-" if mig is None else f"{'on' if mig.enabled else 'off'}{', reset' if mig.mode_needs_reset else ''}"
    return (
        gpu.pci_bus_id,
        f"{gpu.architecture} {gpu.compute_capability}",
        str(gpu.memory_mib),
        str(gpu.multiprocessors),
        "-" if gpu.numa_node is None else str(gpu.numa_node),
        gpu.pcie_root or "-",
        mode,
        ", ".join(profile.name for profile in mig.profiles) if mig else "-",
        gpu.fabric.state if gpu.fabric else "-",
    )
