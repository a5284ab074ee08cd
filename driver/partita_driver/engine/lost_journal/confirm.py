"""A journal that begins anew is confirmed once by the API server; until then nothing is given away."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from partita_driver.engine.locks import Flights
from partita_driver.engine.lost_journal import rebuild
from partita_driver.engine.lost_journal.recall import Recalled
from partita_driver.engine.rules import is_held_twice
from partita_driver.engine.tools import Tools
from partita_driver.journal.store import Durability
from partita_plugins.errors import PartitaError, Retryable

log = structlog.get_logger(__name__)

Recall = Callable[[], Recalled]
"""What the API server knows now. Raises PartitaError while it does not say."""


class Confirmation:
    """Whether the journal may be trusted, and what makes it so. Thread-safe."""

    def __init__(self, tools: Tools, recall: Recall | None) -> None:
        """Without `recall` CDI files and hardware are all there is to go by."""
        self._tools, self._recall, self._flights = tools, recall, Flights(tools.runtime)
        self._lost = tools.journal.rebuilt
        self.findings: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        """The journal began anew, and the API server has not been asked yet."""
        return self._tools.journal.state.unconfirmed

    def begin(self) -> None:
        """At the start, before anything else is journalled: remember that this is a beginning."""
        journal = self._tools.journal
        if journal.rebuilt or journal.sequence == 0:
            # Also where none was ever written: it may have been taken away, as by a new disk.
            journal.change(lambda state: msgspec.structs.replace(state, unconfirmed=True), Durability.BEST_EFFORT)

    def adopt(self) -> None:
        """At the start, when the hardware is known: what the node itself can tell."""
        if self.pending:
            rebuild.adopt_cdi(self._tools)
        if self._recall is None:
            self.ask()

    def ask(self) -> None:
        """Complete the journal by what the API server knows, once. Raises PartitaError while that is nothing."""
        if self.pending:
            self._flights.run("journal", "confirm", self._confirm, self._tools.deadlines.lock_seconds)

    def ask_for(self, claim_uid: str) -> None:
        """The same before a claim is given back: the API server alone knows one without a CDI file, and the owner of a
        partition that two claims have files of.
        """
        state = self._tools.journal.state
        claim = state.claims.get(claim_uid)
        known = claim is not None and not any(is_held_twice(state, claim_uid, device) for device in claim.devices)
        if known or not self.pending:
            return
        try:
            self.ask()
        except PartitaError as error:
            raise Retryable(
                f"the journal was lost, and what claim {claim_uid} holds is not known yet: {error}",
                delay_seconds=5.0,
                advice="it is found out once the API server answers",
            ) from error

    def _confirm(self) -> None:
        if not self.pending:
            return
        recalled = self._recall() if self._recall else None
        found = rebuild.confirm(self._tools, recalled)
        if found.anything or self._lost:
            self.findings += (f"the journal was lost; found again: {found}",)
            log.error("journal rebuilt", found=str(found))
