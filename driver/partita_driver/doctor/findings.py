"""What is in the way of offering a node's GPUs: a table of rules over what was seen, each finding with a next step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from partita_driver.doctor.facts import GpuFacts, NodeFacts
from partita_driver.doctor.others import others
from partita_driver.health.classes import ADVICE, Part, class_of
from partita_driver.health.faults import RESET, Cure
from partita_plugins.model.gpu import FabricState
from partita_plugins.model.instances import ComputeMode


class Weight(StrEnum):
    """How much a finding is in the way."""

    BLOCKS = "blocks"
    """Nothing can be given to pods of what it is about."""

    LIMITS = "limits"
    """Something cannot be offered, or will not work for everybody."""

    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found, and what to do about it."""

    weight: Weight
    about: str
    """"node", or the PCI address or UUID of a GPU."""

    what: str
    """One plain sentence."""

    next_step: str


def findings(facts: NodeFacts) -> tuple[Finding, ...]:
    """All that was found, what blocks first."""
    found = [finding for rule in NODE_RULES for finding in rule(facts)]
    found += [finding for gpu in facts.gpus for rule in GPU_RULES for finding in rule(gpu)]
    order = list(Weight)
    return tuple(sorted(found, key=lambda finding: order.index(finding.weight)))


def _hardware(facts: NodeFacts) -> Iterator[Finding]:
    if facts.error:
        what, _, advice = facts.error.partition("; ")
        step = advice or "make `nvidia-smi` work on the node first"
        yield _node(Weight.BLOCKS, f"GPUs cannot be looked at: {what}", step)
    elif not facts.gpus and not facts.absent:
        yield _node(Weight.BLOCKS, "there is no GPU", "run the driver on GPU nodes only: see the DaemonSet's affinity")
    for absent in facts.absent:
        yield Finding(
            weight=Weight.BLOCKS,
            about=absent.gpu_uuid,
            what=f"the GPU does not answer: {absent.why}",
            next_step="look for NVRM lines in the kernel log, drain the node, reset the GPU or reboot",
        )


def _toolkit(facts: NodeFacts) -> Iterator[Finding]:
    if facts.toolkit and facts.toolkit.error:
        what, _, advice = facts.toolkit.error.partition("; ")
        yield _node(Weight.BLOCKS, f"containers would get no driver libraries: {what}", advice)


def _folders(facts: NodeFacts) -> Iterator[Finding]:
    for folder in facts.folders:
        if folder.problem:
            what = f"{folder.path} ({folder.purpose}) {folder.problem}"
            yield _node(Weight.BLOCKS, what, "mount it into the driver's pod, or give the path that this node uses")


def _api(facts: NodeFacts) -> Iterator[Finding]:
    if facts.kube and facts.kube.error:
        what, _, advice = facts.kube.error.partition("; ")
        next_step = advice or "look at the driver's ServiceAccount and network policy"
        yield _node(Weight.BLOCKS, f"the API server does not answer: {what}", next_step)


def _others(facts: NodeFacts) -> Iterator[Finding]:
    for other in others(facts):
        yield Finding(
            weight=Weight.BLOCKS if other.withholds else Weight.LIMITS,
            about=other.pci_bus_id or "node",
            what=other.what,
            next_step=other.next_step,
        )


def _reports(facts: GpuFacts) -> Iterator[Finding]:
    for event in facts.health:
        row = class_of(event)
        if row.part is Part.NOTHING:
            continue
        weight = Weight.LIMITS if event.placements and row.part is not Part.GPU else Weight.BLOCKS
        step = ADVICE[row.cure] or "the driver validates it again by itself"
        yield _gpu(facts, weight, event.message or f"the GPU reports {event.kind}", step)


def _quarantine(facts: GpuFacts) -> Iterator[Finding]:
    for fault in facts.faults:
        weight = Weight.LIMITS if fault.placement else Weight.BLOCKS
        step = ADVICE[fault.cure] if fault.cure is not Cure.VALIDATION else "the driver validates it again by itself"
        yield _gpu(facts, weight, f"quarantined ({fault.reason}): {fault.message}", step)


def _refusals(facts: GpuFacts) -> Iterator[Finding]:
    for refusal in facts.refusals:
        yield _gpu(facts, Weight.BLOCKS, refusal, "look for NVRM lines in the kernel log; run doctor as root")


def _fabric(facts: GpuFacts) -> Iterator[Finding]:
    fabric = facts.gpu.fabric
    if fabric is None or (fabric.state is FabricState.COMPLETED and not fabric.failed):
        return
    said = "refused" if fabric.failed else fabric.state
    step = "start nvidia-fabricmanager of the driver's own version: `systemctl status nvidia-fabricmanager`"
    yield _gpu(facts, Weight.BLOCKS, f"the GPU is not in its NVLink fabric ({said}): CUDA does not start on it", step)


def _mig_mode(facts: GpuFacts) -> Iterator[Finding]:
    mig = facts.gpu.mig
    if mig is None:
        return
    if mig.enabled != mig.pending:
        what = f"MIG mode is {_on(mig.enabled)} and {_on(mig.pending)} after the next reset"
        yield _gpu(facts, Weight.LIMITS, what, RESET)
    elif not mig.profiles:
        what = f"MIG is {_on(mig.enabled)} and the driver lists no profiles: no partitions are offered"
        step = "R535 lists them while MIG is on: `nvidia-smi -mig 1` once, or update NVIDIA's driver; look as root"
        yield _gpu(facts, Weight.LIMITS, what, step)
    elif mig.mode_needs_reset and not mig.enabled:
        what = "MIG is off and only a reset turns it on: no partitions are offered"
        yield _gpu(facts, Weight.NOTE, what, "for partitions: drain the node, `nvidia-smi -mig 1`, reset the GPU")
    elif mig.pinned:
        what = "MIG is on and only a reset turns it off: partitions are offered, never the whole GPU"
        yield _gpu(facts, Weight.NOTE, what, "for whole GPUs: drain the node, `nvidia-smi -mig 0`, reset the GPU")


def _compute_mode(facts: GpuFacts) -> Iterator[Finding]:
    if facts.compute_mode is ComputeMode.DEFAULT or facts.claims:
        return
    prohibited = facts.compute_mode is ComputeMode.PROHIBITED
    what = f"its compute mode is {facts.compute_mode}: " + ("nothing computes" if prohibited else "it cannot be shared")
    step = f"`nvidia-smi -i {facts.gpu.uuid} -c DEFAULT`"
    yield _gpu(facts, Weight.BLOCKS if prohibited else Weight.LIMITS, what, step)


def _on(enabled: bool) -> str:
    return "on" if enabled else "off"


def _node(weight: Weight, what: str, next_step: str) -> Finding:
    return Finding(weight=weight, about="node", what=what, next_step=next_step)


def _gpu(facts: GpuFacts, weight: Weight, what: str, next_step: str) -> Finding:
    return Finding(weight=weight, about=facts.gpu.pci_bus_id, what=what, next_step=next_step)


NODE_RULES: Sequence[Callable[[NodeFacts], Iterator[Finding]]] = (_hardware, _toolkit, _folders, _api, _others)
GPU_RULES: Sequence[Callable[[GpuFacts], Iterator[Finding]]] = (
    _reports,
    _quarantine,
    _refusals,
    _fabric,
    _mig_mode,
    _compute_mode,
)
