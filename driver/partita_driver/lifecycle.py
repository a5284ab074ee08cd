"""The life of a claim's devices on this node, as a table.

absent ──intend──▶ intended ──make──▶ made ──check──▶ checked ──hand out──▶ prepared
   ▲                  │  ▲              │                │                   │    │
   │                  └──│── undo ◀─────┴────────────────┴───────────────────┘    │
   └──forget── undoing ◀─┘       reboot: prepared ──▶ intended ◀──────────────────┘
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class ClaimState(StrEnum):
    """Where a claim stands. All but ABSENT have a record in the journal."""

    ABSENT = "absent"
    INTENDED = "intended"
    """Journalled with all its steps; the hardware may have been touched."""

    MADE = "made"
    """All steps are done."""

    CHECKED = "checked"
    """Validated, or validation did not apply."""

    PREPARED = "prepared"
    """Handed out: a container may be running on it."""

    UNDOING = "undoing"
    """Nobody may have it any more, and something of it may still be on the hardware."""


class ClaimEvent(StrEnum):
    """What happens to a claim."""

    INTEND = "intend"
    MAKE = "make"
    CHECK = "check"
    HAND_OUT = "hand-out"
    REBOOT = "reboot"
    UNDO = "undo"
    FORGET = "forget"


TRANSITIONS: Mapping[ClaimState, Mapping[ClaimEvent, ClaimState]] = {
    ClaimState.ABSENT: {ClaimEvent.INTEND: ClaimState.INTENDED},
    ClaimState.INTENDED: {
        ClaimEvent.MAKE: ClaimState.MADE,
        ClaimEvent.UNDO: ClaimState.UNDOING,
        # A Prepare that was cut short is taken up again with the same steps.
        ClaimEvent.INTEND: ClaimState.INTENDED,
    },
    ClaimState.MADE: {ClaimEvent.CHECK: ClaimState.CHECKED, ClaimEvent.UNDO: ClaimState.UNDOING},
    ClaimState.CHECKED: {ClaimEvent.HAND_OUT: ClaimState.PREPARED, ClaimEvent.UNDO: ClaimState.UNDOING},
    ClaimState.PREPARED: {
        ClaimEvent.UNDO: ClaimState.UNDOING,
        # A reboot takes MIG instances and time slices; the replayed Prepare makes them again.
        ClaimEvent.REBOOT: ClaimState.INTENDED,
    },
    ClaimState.UNDOING: {ClaimEvent.FORGET: ClaimState.ABSENT, ClaimEvent.UNDO: ClaimState.UNDOING},
}


class IllegalTransition(RuntimeError):
    """A defect of the driver: an event that the table does not allow in that state."""


def advance(state: ClaimState, event: ClaimEvent) -> ClaimState:
    """The state after an event. Raises IllegalTransition, and nothing has changed."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"{event} is not possible for a claim that is {state}") from None
