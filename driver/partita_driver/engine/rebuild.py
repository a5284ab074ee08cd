"""After the journal was lost: who owns what is told by CDI files, and then by the API server and the hardware.

CDI files come first, because they are on the node. Until the API server has answered nothing is given away, offered or
destroyed: a claim without a file, a quarantine or a GPU's slot may be known to nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec
import structlog

from partita_driver.cdi.files import cdi_id
from partita_driver.engine.grants import granted_devices, offered_by_name, record_of
from partita_driver.engine.recall import Recalled, published_faults, published_slots
from partita_driver.engine.rules import time_slice_of
from partita_driver.engine.tools import Tools
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import HardwareError
from partita_driver.journal.records import ClaimRecord, DeviceRecord, JournalState
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimState
from partita_plugins.errors import InvalidInput, PartitaError
from partita_plugins.model.steps import SetTimeSlice
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.resource import ResourceClaim

log = structlog.get_logger(__name__)

_SHARE_ID = re.compile(r"-(?P<share>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$")


def adopt_cdi(tools: Tools) -> None:
    """Take the claims that have CDI files as prepared: a file is written after the devices were checked."""

    def add(state: JournalState) -> JournalState:
        return msgspec.structs.replace(state, claims={**state.claims, **_named(_from_cdi(tools), state.claims)})

    tools.journal.change(add, Durability.BEST_EFFORT)
    reached("rebuilt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a lost journal was rebuilt from; its words are for an event."""

    by_cdi: int
    by_api: int = 0
    quarantines: int = 0
    slices: bool = False

    @property
    def anything(self) -> bool:
        """Nothing: this is a new node, and no journal was lost."""
        return bool(self.by_cdi or self.by_api or self.slices)

    def __str__(self) -> str:
        faults = f"{self.quarantines} quarantines by the published slices"
        none = "no quarantines, for no slices were left: every device is validated in full before it is used again"
        return f"{self.by_cdi} claims by their CDI files, {self.by_api} by the API, {faults if self.slices else none}"


def confirm(tools: Tools, recalled: Recalled | None) -> Found:
    """Complete a journal that began anew by what the API server knows; None: by what the node itself knows."""
    if recalled is None:
        tools.journal.change(lambda state: msgspec.structs.replace(state, unconfirmed=False), Durability.BEST_EFFORT)
        return Found(by_cdi=len(tools.cdi.claims()))
    _take_slots(tools, published_slots(recalled.devices))
    cdi = _from_cdi(tools)
    claims = {claim.metadata.uid: claim for claim in recalled.claims}
    from_api = {
        uid: record
        for uid, claim in claims.items()
        if uid not in cdi and _is_ours(claim, tools) and (record := _without_file(tools, claim))
    }
    from_cdi = {uid: _completed(tools, record, claims.get(uid)) for uid, record in cdi.items()}
    faults = published_faults(recalled.devices, tools.node)

    def complete(state: JournalState) -> JournalState:
        known = {fault.key for fault in state.faults}
        undone = {uid for uid in from_cdi if _is_undone(tools, state, uid)}
        return msgspec.structs.replace(
            state,
            claims={**from_api, **state.claims, **{uid: one for uid, one in from_cdi.items() if uid not in undone}},
            faults=(*state.faults, *(fault for fault in faults if fault.key not in known)),
            unconfirmed=False,
        )

    tools.journal.change(complete, Durability.BEST_EFFORT)
    _set_time_slices(tools, from_api.values())
    return Found(by_cdi=len(cdi), by_api=len(from_api), quarantines=len(faults), slices=bool(recalled.devices))


def _set_time_slices(tools: Tools, found: Iterable[ClaimRecord]) -> None:
    """Those of shared GPUs whose claims have no CDI file: what took the files may have been a reboot."""
    steps = [step for claim in found for device in claim.devices for step in device.steps]
    for gpu_uuid in sorted({step.gpu_uuid for step in steps if isinstance(step, SetTimeSlice)}):
        try:
            with tools.lock((gpu_uuid,)):
                if interval := time_slice_of(tools.journal.state, gpu_uuid, without=""):
                    tools.hardware.set_time_slice(gpu_uuid, interval)
        except (PartitaError, HardwareError) as error:
            log.warning("time slice not set", gpu=gpu_uuid, error=str(tools.blamed(error)))


def _is_undone(tools: Tools, state: JournalState, uid: str) -> bool:
    """Whether a claim that had a CDI file a moment ago has been given back since, or is about to."""
    known = state.claims.get(uid)
    return known.state is ClaimState.UNDOING if known else not tools.cdi.exists(uid)


def _take_slots(tools: Tools, published: Mapping[str, int]) -> None:
    """Published slots stand; those given at this start stand where they do not contradict them."""

    def take(state: JournalState) -> JournalState:
        taken = set(published.values())
        kept = {address: slot for address, slot in state.slots.items() if slot not in taken}
        return msgspec.structs.replace(state, slots={**kept, **published})

    tools.journal.change(take, Durability.BEST_EFFORT)
    tools.refresh()


def _is_ours(claim: ResourceClaim, tools: Tools) -> bool:
    allocation = claim.status.allocation
    results = allocation.devices.results if allocation else []
    return any(one.driver == DRIVER_NAME and one.pool == pool_name(tools.node_name) for one in results)


def _completed(tools: Tools, record: ClaimRecord, claim: ResourceClaim | None) -> ClaimRecord:
    """A claim found by its CDI file, with what the API says of it.

    One that the API does not have stays, without a name: its pod may have been deleted by force and still run.
    """
    if claim is None:
        return record
    named = msgspec.structs.replace(record, namespace=claim.metadata.namespace, name=claim.metadata.name)
    try:
        granted = granted_devices(claim, tools.node, tools.strategies, tools.node_name)
    except InvalidInput:  # Deallocated, or on a GPU that is lost.
        return named
    if [(one.device, one.share_id) for one in granted] != [(one.device, one.share_id) for one in record.devices]:
        return named
    devices = (
        msgspec.structs.replace(new, cdi_ids=old.cdi_ids) for new, old in zip(granted, record.devices, strict=True)
    )
    return msgspec.structs.replace(named, devices=tuple(devices))


class _Presence(Enum):
    """How much of a partition is on the hardware."""

    NONE, HALF, ALL = range(3)


def _without_file(tools: Tools, claim: ResourceClaim) -> ClaimRecord | None:
    """A claim that has no CDI file, if it owns something here; None where its next Prepare finds nothing of it.

    What is there is taken as in use and never validated under a pod; what is half there waits for the next Prepare.
    """
    try:
        devices = granted_devices(claim, tools.node, tools.strategies, tools.node_name)
    except InvalidInput as error:
        log.warning("claim not found again", claim=claim.metadata.uid, error=str(error))
        return None
    there = [_presence(tools, device) for device in devices if device.placement and not device.admin]
    told = any(one.driver == DRIVER_NAME and one.pool == pool_name(tools.node_name) for one in claim.status.devices)
    if not told and all(one is _Presence.NONE for one in there):
        return None
    prepared = all(one is _Presence.ALL for one in there)
    return ClaimRecord(
        uid=claim.metadata.uid,
        namespace=claim.metadata.namespace,
        name=claim.metadata.name,
        state=ClaimState.PREPARED if prepared else ClaimState.INTENDED,
        devices=devices,
        remake=not prepared,
    )


def _presence(tools: Tools, device: DeviceRecord) -> _Presence:
    if device.placement is None or device.profile_id is None:
        return _Presence.NONE
    try:
        instance = tools.hardware.find(device.gpu_uuids[0], device.profile_id, device.placement)
    except (PartitaError, HardwareError) as error:
        # It may be there: its place is kept until the GPU answers.
        log.warning("GPU instances not listed", gpu=device.gpu_uuids[0], error=str(tools.blamed(error)))
        return _Presence.HALF
    if instance is None:
        return _Presence.NONE
    return _Presence.ALL if instance.compute_instances else _Presence.HALF


def _named(found: Mapping[str, ClaimRecord], known: Mapping[str, ClaimRecord]) -> dict[str, ClaimRecord]:
    """Records found again, with the names that an out-of-date journal has for them."""
    return {
        uid: msgspec.structs.replace(record, namespace=known[uid].namespace, name=known[uid].name)
        if uid in known
        else record
        for uid, record in found.items()
    }


def _from_cdi(tools: Tools) -> dict[str, ClaimRecord]:
    found: dict[str, ClaimRecord] = {}
    for uid, names in tools.cdi.claims().items():
        devices = tuple(device for name in names if (device := _adopt(tools, uid, name)))
        if devices:
            found[uid] = ClaimRecord(uid=uid, state=ClaimState.PREPARED, devices=devices)
    return found


def _adopt(tools: Tools, claim_uid: str, cdi_name: str) -> DeviceRecord | None:
    name = cdi_name.removeprefix(f"{claim_uid}-")
    share = _SHARE_ID.search(name)
    name = name[: share.start()] if share else name
    try:
        offered = offered_by_name(name, tools.node.gpus)
    except InvalidInput as error:
        log.warning("CDI device not adopted", claim=claim_uid, device=name, error=str(error))
        return None
    return record_of(
        offered,
        name,
        tools.node.gpus,
        tools.strategies,
        share_id=share["share"] if share else None,
        cdi_ids=(cdi_id(cdi_name),),
    )
