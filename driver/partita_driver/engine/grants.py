"""From an allocated claim to the devices it was granted here: pure, and strict about what it cannot take."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from partita_driver.journal.records import DeviceRecord
from partita_plugins.contracts import MPS_KINDS
from partita_plugins.errors import InvalidInput
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.quantity import to_mib
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.device_names import parse_name
from partita_plugins.wire.opaque import config_for
from partita_plugins.wire.resource_claim import (
    AllocationResult,
    DeviceClaim,
    DeviceConfig,
    DeviceRequest,
    ExactRequest,
    ResourceClaim,
)

DEVICES_MAX = 64
"""Of one claim: the API allows 32 results."""

ADMIN_ADVICE = (
    "write adminAccess: true into its request, which Kubernetes takes in namespaces labelled "
    'resource.kubernetes.io/admin-access: "true", or ask for a GPU with another DeviceClass'
)

NVLINK_ISLAND = f"{DRIVER_NAME}/nvlinkIsland"
"""Attribute of whole GPUs: those of one value have NVLink between every two."""

Describe = Callable[..., DeviceRecord]
"""The record of a device by its name and, as keywords, what the grant says of it."""


def granted_devices(claim: ResourceClaim, node_name: str, describe: Describe) -> tuple[DeviceRecord, ...]:
    """What this node owes a claim. Raises InvalidInput with what is wrong, and what `describe` raises."""
    allocation = claim.status.allocation
    if allocation is None:
        raise InvalidInput(
            "the claim is not allocated", advice="wait for kube-scheduler, or look why its pod is pending"
        )
    results = _ours(allocation.devices.results, node_name)
    promised = _nvlink_promises(claim.spec.devices)
    granted = [
        msgspec.structs.replace(_granted(result, allocation.devices.config, describe), nvlink=promised(result.request))
        for result in results
    ]
    _refuse_second_under_mps(granted)
    return tuple(_once_each(granted))


def _nvlink_promises(spec: DeviceClaim) -> Callable[[str], str]:
    """By a result's request, which promise of NVLink its devices share; empty: none.

    A claim makes its wish a promise by a constraint on the island, or by a selector that names it.
    """
    matched = [one.requests for one in spec.constraints if one.match_attribute == NVLINK_ISLAND]
    attribute = NVLINK_ISLAND.partition("/")[2]
    selecting = {
        name
        for request in spec.requests or ()
        for name, exact in _alternatives(request)
        if any(one.cel is not None and attribute in one.cel.expression for one in exact.selectors)
    }

    def promise(request: str) -> str:
        names = {request, request.partition("/")[0]}
        for index, requests in enumerate(matched):
            if not requests or names & set(requests):
                return f"constraint-{index}"
        return request if names & selecting else ""

    return promise


def _alternatives(request: DeviceRequest) -> Iterator[tuple[str, ExactRequest]]:
    if request.exactly is not None:
        yield request.name, request.exactly
    for one in request.first_available:
        yield f"{request.name}/{one.name}", one


def _ours(results: list[AllocationResult], node_name: str) -> list[AllocationResult]:
    ours = [result for result in results if result.driver == DRIVER_NAME]
    if not ours:
        raise InvalidInput(
            f"the claim has no device of {DRIVER_NAME}", advice="ask the driver that it was allocated from"
        )
    here = [result for result in ours if result.pool == pool_name(node_name)]
    if not here:
        raise InvalidInput(
            f"the claim's devices are in pool {ours[0].pool}, not in {pool_name(node_name)}",
            advice="its pod belongs on the node of that pool",
        )
    if len(here) > DEVICES_MAX:
        raise InvalidInput(f"the claim has more than {DEVICES_MAX} devices", advice="split it into several claims")
    return here


def _granted(result: AllocationResult, configs: list[DeviceConfig], describe: Describe) -> DeviceRecord:
    kind = parse_name(result.device).kind
    if kind is DeviceKind.MONITOR and not result.admin_access:
        raise InvalidInput(
            f"{result.device} shows the GPUs of everybody, and the claim has no admin access", advice=ADMIN_ADVICE
        )
    config = config_for(result.request, configs, DRIVER_NAME)
    mps = config.sharing == "MPS" and not result.admin_access
    if mps and kind not in MPS_KINDS:
        raise InvalidInput(
            f"{result.device} cannot be used under MPS", advice="ask for MPS on one whole GPU or a share of one"
        )
    memory = result.consumed_capacity.get("memory")
    return describe(
        result.device,
        request=result.request.partition("/")[0],
        share_id=result.share_id,
        memory_mib=to_mib(memory) if memory and kind is DeviceKind.SHARED else None,
        time_slice=config.time_slice,
        mps=mps,
        active_thread_percentage=config.active_thread_percentage if mps else None,
        admin=bool(result.admin_access),
    )


def _refuse_second_under_mps(devices: list[DeviceRecord]) -> None:
    """A program speaks to one MPS daemon, and sees no GPU but that daemon's."""
    own = [device for device in devices if not device.admin]
    if len(own) > 1 and any(device.mps for device in own):
        raise InvalidInput(
            f"the claim asks for MPS and has {len(own)} devices",
            advice="make a claim for each, and give each to containers of its own",
        )


def _once_each(devices: list[DeviceRecord]) -> list[DeviceRecord]:
    """Exclusive devices once in a claim. The same device for two requests is possible for shares and admin access."""
    seen: set[tuple[str, str | None]] = set()
    for device in devices:
        key = (device.device, device.share_id)
        if key in seen and not device.admin:
            raise InvalidInput(f"the claim holds {device.device} twice", advice="delete the claim and make it again")
        if not device.admin:
            seen.add(key)
    return devices
