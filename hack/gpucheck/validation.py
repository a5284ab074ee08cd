"""The validator that computes: how long it takes cold and warm, how fast it is at memory, whether it cries wolf."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import closing

from hack.gpucheck.report import Section

from partita_plugins import registry
from partita_plugins.contracts import Depth, DeviceBackend, Look, ValidationTarget
from partita_plugins.errors import InvalidInput, PartitaError
from partita_plugins.model.gpu import Gpu, NodeHardware
from partita_plugins.validators.cuda.messages import Answer
from partita_plugins.validators.cuda.validator import CudaValidator

DEADLINE_SECONDS = 30.0
WARM_SECONDS = 60.0
PASSES = 5
"""Over what is covered: fill and check twice, and one check at the end."""

COLUMNS = ("GPU", "what", "outcome", "seconds", "more")
Row = tuple[str, str, str, str, str]

Opened = Callable[[int], CudaValidator]
"""A validator with so many children that wait."""


def tried(backend: DeviceBackend, hardware: NodeHardware, name: str, runs: int) -> Section:
    """Rows for each GPU that nobody computes on, or for its partitions; said and not failed where the validator cannot
    be used here.
    """

    def opened(spares: int) -> CudaValidator:
        made: CudaValidator = registry.load("partita.validators", name)(backend, spares=spares)
        return made

    try:
        opened(0).close()
    except InvalidInput as error:
        return Section(title="validator", passed=True, ran=False, remark=str(error))
    rows: list[Row] = []
    for gpu in hardware.gpus:
        looked_at = list(targets(backend, gpu))
        if not looked_at or backend.processes(gpu.uuid):
            rows.append((gpu.pci_bus_id, "-", "skipped: MIG is on without partitions, or somebody computes", "", ""))
            continue
        for target in looked_at:
            rows += _rows(opened, target, runs)
    passed = all(row[2] in ("passed", "0 alarms") or row[2].startswith("skipped") for row in rows)
    return Section(title=f"validator {name}", passed=passed, columns=COLUMNS, rows=rows)


def targets(backend: DeviceBackend, gpu: Gpu) -> Iterator[ValidationTarget]:
    """The GPU; in MIG mode its partitions."""
    if gpu.mig is None or not gpu.mig.enabled:
        yield ValidationTarget(gpu=gpu, instance=None, memory_mib=gpu.memory_mib, multiprocessors=gpu.multiprocessors)
        return
    profiles = {one.profile_id: one for one in gpu.mig.profiles}
    for instance in backend.gpu_instances(gpu.uuid):
        profile = profiles.get(instance.profile_id)
        if profile and instance.compute_instances:
            yield ValidationTarget(
                gpu=gpu,
                instance=instance,
                memory_mib=profile.memory_mib,
                multiprocessors=profile.multiprocessors,
            )


def _rows(opened: Opened, target: ValidationTarget, runs: int) -> Iterator[Row]:
    with closing(opened(0)) as cold:
        for depth in Depth:
            yield _row(cold, target, depth, "cold")
    with closing(opened(1)) as warm:
        for depth in Depth:
            warm.warm(WARM_SECONDS)
            yield _row(warm, target, depth, "warm")
        yield alarms(warm, target, runs)


def _named(target: ValidationTarget) -> str:
    """The GPU, and the place of a partition in it."""
    place = f" at {target.instance.placement.start}" if target.instance else ""
    return f"{target.gpu.pci_bus_id}{place}"


def _row(validator: CudaValidator, target: ValidationTarget, depth: Depth, start: str) -> Row:
    what = f"{depth}, {start}"
    try:
        result, answer = validator.measure(target, Look(depth=depth, deadline_seconds=DEADLINE_SECONDS))
    except PartitaError as error:
        return _named(target), what, str(error), "", ""
    outcome = "; ".join(result.findings) or result.skipped or "passed"
    return _named(target), what, outcome, f"{result.seconds:.3f}", _more(answer, target)


def _more(answer: Answer, target: ValidationTarget) -> str:
    """What CUDA sees of what NVML says, where the time went, and the memory's rate beside that of a copy within it."""
    parts = [
        f"{answer.memory_bytes >> 20} of {target.memory_mib} MiB",
        f"{answer.multiprocessors} of {target.multiprocessors} multiprocessors",
        *(f"{name} {seconds:.3f} s" for name, seconds in answer.seconds.items()),
    ]
    covered = answer.memory_coverage * target.memory_mib / 1024
    seconds = answer.seconds.get("memory", 0.0)
    parts.append(f"{answer.memory_coverage:.1%} of the memory")
    if seconds:
        parts.append(
            f"{covered * 0.1 / seconds:.1f} GiB in 100 ms, {PASSES} times each: {_rate(covered, seconds):.0f} GB/s"
        )
    parts += [f"copies {name} {rate / 1e9:.0f} GB/s" for name, rate in answer.rates.items()]
    return ", ".join(parts)


def _rate(covered_gib: float, seconds: float) -> float:
    """Gigabytes read or written in a second."""
    return PASSES * covered_gib * 2**30 / 1e9 / seconds


def alarms(validator: CudaValidator, target: ValidationTarget, runs: int) -> Row:
    """Quick looks, each with numbers of its own, at a GPU that is taken to be sound."""
    said: list[str] = []
    seconds: list[float] = []
    for _ in range(runs):
        validator.warm(WARM_SECONDS)
        try:
            result = validator.validate(target, Look(depth=Depth.QUICK, deadline_seconds=DEADLINE_SECONDS))
        except PartitaError as error:
            said.append(str(error))
            continue
        said += result.findings[:1]
        seconds.append(result.seconds)
    outcome = f"{len(said)} alarms" + (f", the first: {said[0]}" if said else "")
    median = f"{statistics.median(seconds):.3f}" if seconds else ""
    slowest = f"slowest {max(seconds):.3f} s" if seconds else ""
    return _named(target), f"quick, warm, {runs} times", outcome, median, slowest
