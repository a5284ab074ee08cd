"""Claims that the API no longer has on this node, and for how long."""

from __future__ import annotations

from collections.abc import Callable

from partita_driver.engine.tools import Tools
from partita_driver.engine.validation.own import OWN_CLAIM
from partita_driver.fault_points import reached
from partita_driver.journal.records import ClaimRecord
from partita_driver.lifecycle import ClaimState

Holds = Callable[[str, str, str], bool]
"""Whether a claim, by namespace, name and UID, still holds devices here. Raises where it cannot tell."""


class GoneClaims:
    """Remembers since when each claim is gone."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._since: dict[str, float] = {}

    def due(self, holds: Holds, gone_seconds: float) -> tuple[ClaimRecord, ...]:
        """Claims to be undone now: those not prepared, and the prepared ones that are gone for so long.

        The containers of a pod that was deleted by force may run on, and the kubelet calls Unprepare after them. Claims
        found again by a CDI file alone have no name; they are kept until the journal is confirmed.
        """
        state = self._tools.journal.state
        gone = tuple(
            claim
            for uid, claim in state.claims.items()
            if (claim.name or not state.unconfirmed)
            and not uid.startswith(OWN_CLAIM)
            and not holds(claim.namespace, claim.name, uid)
        )
        if gone:
            reached("claims-gone")
        now = self._tools.runtime.monotonic()
        self._since = {claim.uid: self._since.get(claim.uid, now) for claim in gone}
        return tuple(
            claim
            for claim in gone
            if claim.state is not ClaimState.PREPARED or now - self._since[claim.uid] >= gone_seconds
        )
