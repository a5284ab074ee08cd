"""The validator that computes on real GPUs, where one is installed."""

from __future__ import annotations

from hack.gpucheck.report import Section

from partita_plugins import registry
from partita_plugins.contracts import Depth, DeviceBackend, Look, ValidationTarget, Validator
from partita_plugins.errors import PartitaError
from partita_plugins.model.gpu import Gpu, NodeHardware

NAME = "cupy"
DEADLINE_SECONDS = 30.0


def tried(backend: DeviceBackend, hardware: NodeHardware) -> Section:
    """One row a GPU and depth; said and not failed where no validator for real GPUs is installed."""
    if NAME not in registry.names("partita.validators"):
        return Section(title="validator", passed=True, ran=False, remark=f"No validator named {NAME!r} is installed.")
    validator = registry.load("partita.validators", NAME)(backend)
    rows, passed = [], True
    for gpu in hardware.gpus:
        if (gpu.mig and gpu.mig.enabled) or backend.processes(gpu.uuid):
            rows.append((gpu.pci_bus_id, "-", "skipped: MIG is on, or somebody computes on it", ""))
            continue
        for depth in Depth:
            outcome, seconds = _validated(validator, gpu, depth)
            passed = passed and outcome == "passed"
            rows.append((gpu.pci_bus_id, depth, outcome, seconds))
    return Section(title="validator", passed=passed, columns=("GPU", "depth", "outcome", "seconds"), rows=rows)


def _validated(validator: Validator, gpu: Gpu, depth: Depth) -> tuple[str, str]:
    target = ValidationTarget(gpu=gpu, instance=None, memory_mib=gpu.memory_mib, multiprocessors=gpu.multiprocessors)
    try:
        result = validator.validate(target, Look(depth=depth, deadline_seconds=DEADLINE_SECONDS))
    except PartitaError as error:
        return str(error), ""
    return "; ".join(result.findings) or "passed", f"{result.seconds:.3f}"
