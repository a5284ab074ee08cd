"""What doctor saw, as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from partita_driver.doctor.facts import GpuFacts, NodeFacts
from partita_driver.doctor.findings import Finding, Weight
from partita_driver.doctor.offers import can_offer
from partita_driver.journal.records import GpuLook

HEADINGS = {
    Weight.BLOCKS: "in the way",
    Weight.LIMITS: "limits",
    Weight.NOTE: "notes",
}
COLUMNS = ("GPU", "PCI", "MEMORY", "NUMA", "NVLINK", "MIG", "VALIDATED", "HELD BY", "CAN OFFER")
VALIDATED = COLUMNS.index("VALIDATED")
"""Where no driver has validated anything this column is left out."""


def as_text(facts: NodeFacts, found: tuple[Finding, ...]) -> str:
    """The GPUs as a table, then what was found, worst first."""
    return "\n".join([*_heading(facts), *_table(facts, found), *_findings(found, len(facts.gpus))])


def as_json(facts: NodeFacts, found: tuple[Finding, ...]) -> str:
    """One object: node, driver, toolkit, gpus, findings (weight, about, what, next_step)."""
    hardware, offers = facts.hardware, can_offer(facts, found)
    shown: dict[str, Any] = {
        "node": facts.node_name,
        "backend": facts.backend,
        "driver_version": hardware.driver_version if hardware else None,
        "cuda_version": hardware.cuda_version if hardware else None,
        "toolkit": facts.toolkit,
        "gpus": [_gpu(gpu, offers[gpu.gpu.uuid]) for gpu in facts.gpus],
        "absent": facts.absent,
        "findings": found,
    }
    return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()


def _heading(facts: NodeFacts) -> Iterator[str]:
    hardware, toolkit = facts.hardware, facts.toolkit
    parts = [f"node {facts.node_name}", f"backend {facts.backend}"]
    if hardware:
        parts += [f"driver {hardware.driver_version}", f"CUDA {hardware.cuda_version}"]
    if toolkit and not toolkit.error:
        parts.append(f"{toolkit.program}: {toolkit.mounts} mounts, {toolkit.hooks} hooks")
    if facts.kube and not facts.kube.error:
        parts.append(f"{facts.kube.ours} ResourceSlices")
    yield " · ".join(parts)


def _table(facts: NodeFacts, found: tuple[Finding, ...]) -> Iterator[str]:
    if not facts.gpus:
        return
    offers = can_offer(facts, found)
    rows = [COLUMNS, *(_row(index, facts, gpu, offers[gpu.gpu.uuid]) for index, gpu in enumerate(facts.gpus))]
    if not any(gpu.look and gpu.look.at for gpu in facts.gpus):
        rows = [(*row[:VALIDATED], *row[VALIDATED + 1 :]) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()


def _row(index: int, facts: NodeFacts, gpu: GpuFacts, offers: tuple[str, ...]) -> tuple[str, ...]:
    one = gpu.gpu
    mig = "-" if one.mig is None else f"on, {len(gpu.instances)} instances" if one.mig.enabled else "off"
    return (
        one.product,
        one.pci_bus_id,
        f"{one.memory_mib} MiB",
        "-" if one.numa_node is None else str(one.numa_node),
        _nvlink(facts, index),
        mig,
        _validated(gpu.look),
        _held_by(gpu),
        ", ".join(offers) or "nothing",
    )


def _nvlink(facts: NodeFacts, index: int) -> str:
    links = facts.hardware.links if facts.hardware else ()
    widths = [link.nvlinks for link in links if index in (link.a, link.b) and link.nvlinks]
    return f"{max(widths)} links to {len(widths)} GPU{'s' if len(widths) > 1 else ''}" if widths else "-"


def _validated(look: GpuLook | None) -> str:
    """When, in UTC, and how thoroughly."""
    if look is None or not look.at:
        return "-"
    when = datetime.fromtimestamp(look.at, UTC).strftime("%Y-%m-%d %H:%M")
    return f"{when} {look.depth}" if look.passed else f"{when} failed"


def _held_by(gpu: GpuFacts) -> str:
    claims = len({uid for uid, _ in gpu.claims})
    held = [f"{claims} claims"] if claims else []
    if gpu.processes and not claims:
        held.append(f"{len(gpu.processes)} processes")
    return ", ".join(held) or "-"


def _findings(found: tuple[Finding, ...], gpus: int) -> Iterator[str]:
    yield ""
    if not any(finding.weight is Weight.BLOCKS for finding in found):
        yield "nothing is in the way"
    for weight, heading in HEADINGS.items():
        chosen = [finding for finding in found if finding.weight is weight]
        if chosen:
            yield f"{heading}:"
        for (what, next_step), about in _merged(chosen).items():
            yield f"  {f'all {gpus} GPUs' if len(about) == gpus > 1 else ', '.join(about)}: {what}"
            yield f"      next: {next_step}"


def _merged(found: list[Finding]) -> dict[tuple[str, str], list[str]]:
    """The same words of several GPUs are said once."""
    merged: dict[tuple[str, str], list[str]] = {}
    for finding in found:
        merged.setdefault((finding.what, finding.next_step), []).append(finding.about)
    return merged


def _gpu(facts: GpuFacts, offers: tuple[str, ...]) -> dict[str, Any]:
    gpu = facts.gpu
    return {
        "uuid": gpu.uuid,
        "pci_bus_id": gpu.pci_bus_id,
        "product": gpu.product,
        "memory_mib": gpu.memory_mib,
        "numa_node": gpu.numa_node,
        "mig": {"enabled": gpu.mig.enabled, "pending": gpu.mig.pending} if gpu.mig else None,
        "compute_mode": facts.compute_mode,
        "instances": len(facts.instances),
        "processes": facts.processes,
        "validated": facts.look,
        "claims": sorted({uid for uid, _ in facts.claims}),
        "can_offer": offers,
    }
