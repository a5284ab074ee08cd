"""After the journal was lost: who owns what is told by CDI files, and then by the API server and the hardware.

CDI files come first, because they are on the node. Until the API server has answered nothing is given away, offered or
destroyed: a claim without a file, a quarantine or a GPU's slot may be known to nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from partita_driver.engine.lost_journal.found import by_api, by_cdi, completed
from partita_driver.engine.lost_journal.presence import set_time_slices
from partita_driver.engine.lost_journal.recall import Recalled, published_faults, published_slots
from partita_driver.engine.rules import conflicts
from partita_driver.engine.tools import Tools
from partita_driver.fault_points import reached
from partita_driver.journal.records import ClaimRecord, JournalState
from partita_driver.journal.store import Durability
from partita_driver.lifecycle import ClaimState


def adopt_cdi(tools: Tools) -> None:
    """Take the claims that have CDI files as prepared."""

    def add(state: JournalState) -> JournalState:
        return msgspec.structs.replace(state, claims={**state.claims, **_named(by_cdi(tools), state.claims)})

    tools.journal.change(add, Durability.BEST_EFFORT)
    reached("rebuilt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a lost journal was rebuilt from; its words are for an event."""

    by_cdi: int
    by_api: int = 0
    unseen: int = 0
    quarantines: int = 0
    slices: bool = False

    @property
    def anything(self) -> bool:
        """Nothing: this is a new node, and no journal was lost."""
        return bool(self.by_cdi or self.by_api or self.slices)

    def __str__(self) -> str:
        faults = f"{self.quarantines} quarantines by the published slices"
        none = "no quarantines, for no slices were left: every device is validated in full before it is used again"
        waiting = f" ({self.unseen} of them on GPUs that do not answer)" if self.unseen else ""
        claims = f"{self.by_cdi} claims by their CDI files, {self.by_api} by the API{waiting}"
        return f"{claims}, {faults if self.slices else none}"


def confirm(tools: Tools, recalled: Recalled | None) -> Found:
    """Complete a journal that began anew by what the API server knows; None: by what the node itself knows."""
    if recalled is None:
        tools.journal.change(lambda state: msgspec.structs.replace(state, unconfirmed=False), Durability.BEST_EFFORT)
        unseen = sum(claim.unseen for claim in tools.journal.state.claims.values())
        return Found(by_cdi=len(tools.cdi.claims()), unseen=unseen)
    _take_slots(tools, published_slots(recalled.devices))
    cdi = by_cdi(tools)
    claims_by_uid = {claim.metadata.uid: claim for claim in recalled.claims}
    from_api = {
        uid: record for uid, claim in claims_by_uid.items() if uid not in cdi and (record := by_api(tools, claim))
    }
    from_cdi = {uid: completed(tools, record, claims_by_uid.get(uid)) for uid, record in cdi.items()}
    faults = published_faults(recalled.devices, tools.node)

    def complete(state: JournalState) -> JournalState:
        known = {fault.key for fault in state.faults}
        held = {uid: one for uid, one in from_cdi.items() if not _is_undone(tools, state, uid)}
        told = msgspec.structs.replace(
            state,
            claims={**state.claims, **held},
            faults=(*state.faults, *(fault for fault in faults if fault.key not in known)),
            unconfirmed=False,
        )
        # A claim that has just been allocated what a deleted pod still has is not the one whose partition is there.
        free = {uid: one for uid, one in from_api.items() if not any(conflicts(told, one))}
        return msgspec.structs.replace(told, claims={**free, **told.claims})

    claims = tools.journal.change(complete, Durability.BEST_EFFORT).claims
    found = [claims[uid] for uid in from_api if uid in claims]
    set_time_slices(tools, found)
    return Found(
        by_cdi=len(cdi),
        by_api=len(found),
        unseen=sum(claim.unseen for claim in claims.values()),
        quarantines=len(faults),
        slices=bool(recalled.devices),
    )


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


def _named(found: Mapping[str, ClaimRecord], known: Mapping[str, ClaimRecord]) -> dict[str, ClaimRecord]:
    """Records found again, with the names that an out-of-date journal has for them."""
    return {
        uid: msgspec.structs.replace(record, namespace=known[uid].namespace, name=known[uid].name)
        if uid in known
        else record
        for uid, record in found.items()
    }
