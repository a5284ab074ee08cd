"""GPUs that were promised NVLink among each other, and the copies that prove it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from partita_driver.engine.tools import Tools
from partita_driver.engine.validation.look import Check, Looked, deadline_seconds, target_of
from partita_driver.hardware.workers import Hung
from partita_driver.health.faults import HUNG, Fault
from partita_driver.journal.records import ClaimRecord, DeviceRecord
from partita_driver.moments import Moment
from partita_plugins.contracts import Depth, Look, ValidationResult, Validator
from partita_plugins.model.offer import DeviceKind, SlottedHardware

PEERS_SECONDS = 10.0
"""In Prepare, after the looks at each GPU: together they stay within the kubelet's 45 s."""

Linked = tuple[tuple[DeviceRecord, str], ...]
"""GPUs of one promise: the device of each, and its UUID."""


def linked_sets(claim: ClaimRecord, node: SlottedHardware) -> Iterator[Linked]:
    """Sets of GPUs for which the claim was promised NVLink between every two.

    Of a group the promise is its attribute `nvlink`, which follows from the topology; of several whole GPUs it is what
    the claim asked of the attribute `nvlinkIsland`.
    """
    for device in claim.devices:
        pairs = combinations(device.slots, 2)
        if device.kind is DeviceKind.GROUP and not device.admin and all(node.topology.link(*pair)[0] for pair in pairs):
            yield tuple((device, gpu_uuid) for gpu_uuid in device.gpu_uuids)
    named: dict[str, list[DeviceRecord]] = {}
    for device in claim.devices:
        if device.nvlink and device.kind is DeviceKind.GPU and not device.admin:
            named.setdefault(device.nvlink, []).append(device)
    for devices in named.values():
        if len(devices) > 1:
            yield tuple((device, device.gpu_uuids[0]) for device in devices)


def copied(tools: Tools, validator: Validator, linked: Linked, wanted: Check, depth: Depth) -> Sequence[Looked]:
    """What was found of each of the GPUs when they were copied to one another.

    Which link of more than two GPUs is at fault only the findings say. Where they name GPUs, those are meant; a copy
    has two ends, and nothing tells which of them is the broken one: both are. Raises as `look_at` does.
    """
    targets = [target_of(tools, device, gpu_uuid) for device, gpu_uuid in linked]
    again = wanted.moment is Moment.AGAIN
    seconds = deadline_seconds(tools, wanted.moment) if again else min(PEERS_SECONDS, tools.deadlines.validate_seconds)
    look = Look(depth=depth, deadline_seconds=seconds, given_up=wanted.given_up)
    try:
        result = tools.hardware.validate_peers(validator, targets, look)
    except Hung as error:
        # A copy that hangs may hang at either end.
        said = str(error).partition(";")[0]
        tools.quarantine.add(*(Fault(gpu_uuid=gpu_uuid, reason=HUNG, message=said) for _, gpu_uuid in linked))
        raise
    uuids = [gpu_uuid for _, gpu_uuid in linked]
    meant = _named(result, uuids) or uuids
    return [
        Looked(
            device=device,
            gpu_uuid=gpu_uuid,
            result=result,
            linked=tuple(other for other in meant if other != gpu_uuid),
        )
        for device, gpu_uuid in linked
        if gpu_uuid in meant
    ]


def _named(result: ValidationResult, uuids: Sequence[str]) -> list[str]:
    return [gpu_uuid for gpu_uuid in uuids if any(gpu_uuid in finding for finding in result.findings)]
