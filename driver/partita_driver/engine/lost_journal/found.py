"""Claims found again after the journal was lost: by their CDI files, and by the API server and the hardware.

A GPU that does not answer hides nothing: what a claim has there is known by name, and the claim is taken as prepared.
"""

from __future__ import annotations

import re
from functools import partial

import msgspec
import structlog

from partita_driver.cdi.files import cdi_id
from partita_driver.engine.grants import granted_devices
from partita_driver.engine.lost_journal.named import device_or_name
from partita_driver.engine.lost_journal.presence import Presence, presences
from partita_driver.engine.tools import Tools
from partita_driver.journal.records import ClaimRecord, DeviceRecord
from partita_driver.lifecycle import ClaimState
from partita_plugins.errors import InvalidInput
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.resource_claim import ResourceClaim

log = structlog.get_logger(__name__)

_SHARE_ID = re.compile(r"-(?P<share>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$")


def by_cdi(tools: Tools) -> dict[str, ClaimRecord]:
    """Claims that have CDI files, as prepared: a file is written after the devices were checked."""
    found: dict[str, ClaimRecord] = {}
    for uid, names in tools.cdi.claims().items():
        devices = tuple(device for name in names if (device := _device_of(tools, uid, name)))
        if devices:
            unseen = _has_names_alone(devices)
            found[uid] = ClaimRecord(uid=uid, state=ClaimState.PREPARED, devices=devices, unseen=unseen)
    return found


def completed(tools: Tools, record: ClaimRecord, claim: ResourceClaim | None) -> ClaimRecord:
    """A claim found by its CDI file, with what the API says of it.

    One that the API does not have stays, without a name: its pod may have been deleted by force and still run.
    """
    if claim is None:
        return record
    named = msgspec.structs.replace(record, namespace=claim.metadata.namespace, name=claim.metadata.name)
    try:
        granted = _granted(tools, claim)
    except InvalidInput:  # Deallocated, or its GPU was exchanged.
        return named
    if [(one.device, one.share_id) for one in granted] != [(one.device, one.share_id) for one in record.devices]:
        return named
    pairs = zip(granted, record.devices, strict=True)
    devices = tuple(msgspec.structs.replace(new, cdi_ids=old.cdi_ids) for new, old in pairs)
    return msgspec.structs.replace(named, devices=devices, unseen=_has_names_alone(devices))


def by_api(tools: Tools, claim: ResourceClaim) -> ClaimRecord | None:
    """A claim that has no CDI file, if it owns something here; None where its next Prepare finds nothing of it.

    What is there is taken as in use and never validated under a pod, and so is what cannot be looked at now. What is
    half there waits for the next Prepare.
    """
    if not _is_ours(claim, tools):
        return None
    try:
        devices = _granted(tools, claim)
    except InvalidInput as error:
        log.warning("claim not found again", claim=claim.metadata.uid, error=str(error))
        return None
    there = presences(tools, devices)
    told = any(one.driver == DRIVER_NAME and one.pool == pool_name(tools.node_name) for one in claim.status.devices)
    if not told and all(one is Presence.NONE for one in there):
        return None
    unseen = Presence.UNKNOWN in there or _has_names_alone(devices)
    prepared = unseen or all(one is Presence.ALL for one in there)
    return ClaimRecord(
        uid=claim.metadata.uid,
        namespace=claim.metadata.namespace,
        name=claim.metadata.name,
        state=ClaimState.PREPARED if prepared else ClaimState.INTENDED,
        devices=devices,
        remake=not prepared,
        unseen=unseen,
    )


def _has_names_alone(devices: tuple[DeviceRecord, ...]) -> bool:
    return any(device.named_alone for device in devices)


def _is_ours(claim: ResourceClaim, tools: Tools) -> bool:
    allocation = claim.status.allocation
    results = allocation.devices.results if allocation else []
    return any(one.driver == DRIVER_NAME and one.pool == pool_name(tools.node_name) for one in results)


def _granted(tools: Tools, claim: ResourceClaim) -> tuple[DeviceRecord, ...]:
    describe = partial(device_or_name, tools.node, tools.strategies, tools.journal.state.slots)
    return granted_devices(claim, tools.node_name, describe)


def _device_of(tools: Tools, claim_uid: str, cdi_name: str) -> DeviceRecord | None:
    name = cdi_name.removeprefix(f"{claim_uid}-")
    share = _SHARE_ID.search(name)
    name = name[: share.start()] if share else name
    try:
        return device_or_name(
            tools.node,
            tools.strategies,
            tools.journal.state.slots,
            name,
            share_id=share["share"] if share else None,
            cdi_ids=(cdi_id(cdi_name),),
        )
    except InvalidInput as error:
        log.warning("CDI device not adopted", claim=claim_uid, device=name, error=str(error))
        return None
