"""Text for terminals: the fleet's map, and the answer to "why". Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, ResourceClaim
from partita_scheduler.allocator.allocation import devices_of, node_of
from partita_scheduler.answers.report import PodReport
from partita_scheduler.kubectl.fleet import GpuMap, Holding, NodeMap
from partita_scheduler.kubectl.validated import validation_words

MAX_REFUSED_SHOWN = 20


def draw_map(nodes: Sequence[NodeMap]) -> str:
    """One block per node, one line per GPU, one line below it for each device that somebody has."""
    if not nodes:
        return "no node publishes GPUs: is the driver running? (kubectl get resourceslices)"
    return "\n".join(line for node in nodes for line in _node(node))


def _node(node: NodeMap) -> Iterator[str]:
    products = " + ".join(dict.fromkeys(gpu.product for gpu in node.gpus if gpu.product))
    yield f"{node.name}  {len(node.gpus)} x {products or 'GPU'}"
    for gpu in node.gpus:
        yield f"  GPU {gpu.slot:<2} [{_bar(gpu)}] {gpu.memory:>7}  {_state(gpu)}".rstrip()
        yield from map(_holding, gpu.holdings)
    yield from map(_holding, node.monitors)


def _holding(holding: Holding) -> str:
    users = ", ".join(holding.pods) or "no pod yet"
    return f"         {holding.what:<14} {users}  (claim {holding.claim})"


def _bar(gpu: GpuMap) -> str:
    used = set(gpu.used)
    if not gpu.units:
        return "#" if gpu.holdings else "."
    return "".join("#" if cell in used else "." for cell in range(gpu.units))


def _state(gpu: GpuMap) -> str:
    if gpu.taints:
        return f"tainted: {', '.join(gpu.taints)}"
    return "" if gpu.holdings else "free"


def draw_why(
    report: PodReport,
    phase: str,
    claims: Sequence[ResourceClaim],
    failures: Iterable[str] = (),
    *,
    concerned: bool,
) -> str:
    """Where the pod's claims are, what was found about each node, and what is known of the devices it has.

    `failures` say which devices failed their validation on the way.
    """
    lines = [f"{report.pod}: {phase or 'Unknown'}"]
    for claim in claims:
        lines += _claim(claim)
    lines += [f"failed: {failure}" for failure in failures]
    if not concerned:
        lines.append("nothing of this pod is waiting for GPUs")
        return "\n".join(lines)
    return "\n".join([*lines, *_verdicts(report), *(f"note: {note}" for note in report.notes)])


def _claim(claim: ResourceClaim) -> Iterator[str]:
    allocation = claim.status.allocation
    if allocation is None:
        yield f"claim {claim.metadata.name}: not allocated"
        return
    devices = ", ".join(devices_of(allocation)) or "no devices"
    yield f"claim {claim.metadata.name}: {devices} on {node_of(allocation) or 'any node'}"
    for status in claim.status.devices:
        yield from _device(status)


def _device(status: AllocatedDeviceStatus) -> Iterator[str]:
    for condition in status.conditions or ():
        text = " ".join(part for part in (condition.reason, condition.message) if part)
        yield f"  {status.device}: {condition.type}={condition.status} {text}".rstrip()
    if words := validation_words(status.data):
        yield f"  {status.device}: {words}"
    elif status.data is not None:
        yield f"  {status.device}: {msgspec.json.encode(status.data).decode()[:500]}"


def _verdicts(report: PodReport) -> Iterator[str]:
    fitting = [node for node in report.nodes if node.fits]
    if not fitting:
        yield f"no node can take it: {report.summary or 'there are no nodes'}"
    for node in fitting:
        yield f"  {node.node}  score {node.score}  {node.explanation}".rstrip()
    refused = [node for node in report.nodes if not node.fits]
    for node in refused[:MAX_REFUSED_SHOWN]:
        yield f"  {node.node}  no: {_join(reason.text for reason in node.reasons) or 'no reason found'}"
    if len(refused) > MAX_REFUSED_SHOWN:
        yield f"  and {len(refused) - MAX_REFUSED_SHOWN} more nodes: {report.summary}"


def _join(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))
