"""When what is reconciled: at the start, from time to time, when the hardware changed; each claim in its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import structlog

from partita_driver.engine import reconcile
from partita_driver.engine.daemons import mend_daemon, stray_daemons
from partita_driver.engine.gone import GoneClaims, Holds
from partita_driver.engine.locks import Flights
from partita_driver.engine.tools import Tools
from partita_driver.journal.records import ClaimRecord
from partita_plugins.errors import PartitaError
from partita_plugins.model.mig import Placement

log = structlog.get_logger(__name__)


class Mending:
    """Brings journal, hardware, CDI folder and MPS daemons together. What fails is logged, and tried again later."""

    def __init__(self, tools: Tools, flights: Flights, *, destroy_unknown: bool) -> None:
        """With `destroy_unknown` GPU instances of others are taken away where that works."""
        self._tools, self._flights, self._destroy_unknown = tools, flights, destroy_unknown
        self._gone = GoneClaims(tools)
        self.foreign: frozenset[tuple[int, Placement]] = frozenset()
        """GPU instances of others, by slot, as of the last `everything`."""

    def after_start(self) -> None:
        """What a process before this one left half done; nothing else may run meanwhile."""
        self.undo(reconcile.half_made(self._tools.journal.state))
        try:
            self._tools.cdi.sweep()
        except OSError as error:
            log.warning("CDI folder not swept", error=str(error))

    def everything(self, *, confirmed: bool) -> None:
        """Try again what could not be undone, mend CDI folder and MPS daemons, look for instances of others.

        Nothing of others is destroyed before the journal is `confirmed`: it may be ours.
        """
        tools = self._tools
        self.undo(reconcile.undoing(tools.journal.state))
        self.look_again()
        try:
            for uid in reconcile.stray_cdi(tools):
                self._in_turn(uid, "mend", partial(reconcile.mend_cdi, tools, uid))
        except (PartitaError, OSError) as error:
            log.warning("CDI folder not mended", error=str(error))
        try:
            for uid in stray_daemons(tools):
                self._in_turn(uid, "mend", partial(mend_daemon, tools, uid))
        except PartitaError as error:
            log.warning("MPS daemons not mended", error=str(error))
        self.foreign = reconcile.foreign_instances(tools, destroy=self._destroy_unknown and confirmed)

    def look_again(self) -> None:
        """Look at claims of a lost journal that were found again while their GPU did not answer."""
        for uid in reconcile.unseen(self._tools.journal.state):
            try:
                self._in_turn(uid, "look", partial(reconcile.look_again, self._tools, uid))
            except (PartitaError, OSError) as error:
                log.warning("claim not looked at again", claim=uid, error=str(error))

    def undo_of(self, gpu_uuid: str) -> None:
        """Try again what could not be undone on one GPU."""
        self.undo(reconcile.undoing(self._tools.journal.state, gpu_uuid))

    def gone(self, holds: Holds, gone_seconds: float) -> tuple[str, ...]:
        """Undo claims that the API has no longer (engine/gone.py). Returns the UIDs of those undone."""
        due = self._gone.due(holds, gone_seconds)
        self.undo(due)
        return tuple(claim.uid for claim in due if claim.uid not in self._tools.journal.state.claims)

    def undo(self, claims: Iterable[ClaimRecord]) -> None:
        """Undo claims one by one; what fails stays journalled."""
        for claim in claims:
            try:
                # No "unprepare": the kubelet's call must not join one that may do nothing.
                self._in_turn(claim.uid, "undo", partial(reconcile.undo_unchanged, self._tools, claim))
            except PartitaError as error:
                log.warning("not undone yet", claim=claim.uid, error=str(error))

    def _in_turn(self, claim_uid: str, verb: str, act: Callable[[], None]) -> None:
        self._flights.run(claim_uid, verb, act, self._tools.deadlines.lock_seconds)
