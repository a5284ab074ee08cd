"""What a claim engine knows, as values: no call here asks a GPU."""

from __future__ import annotations

from collections.abc import Mapping

from partita_driver.engine.locks import Flights
from partita_driver.engine.lost_journal.confirm import Confirmation
from partita_driver.engine.mending import Mending
from partita_driver.engine.tools import Tools
from partita_driver.engine.values import PreparedClaim, prepared_claim
from partita_driver.hardware.workers import Workers
from partita_driver.health.faults import Fault
from partita_driver.journal.records import GpuLook
from partita_driver.lifecycle import ClaimState
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import SlottedHardware


class Known:
    """The part of the engine that only tells."""

    def __init__(
        self, tools: Tools, workers: Workers, flights: Flights, confirmation: Confirmation, mending: Mending
    ) -> None:
        self._tools, self._workers, self._flights = tools, workers, flights
        self._confirmation, self._mending = confirmation, mending

    @property
    def unconfirmed(self) -> bool:
        """Whether the journal began anew and the API server has not been asked yet: see `confirm`."""
        return self._confirmation.pending

    @property
    def node(self) -> SlottedHardware:
        """The hardware as it was last discovered, under slots."""
        return self._tools.node

    def faults(self) -> tuple[Fault, ...]:
        """Quarantined hardware, kept over restarts."""
        return self._tools.journal.state.faults

    @property
    def looks(self) -> Mapping[str, GpuLook]:
        """The last validation of each whole GPU, by UUID."""
        return self._tools.journal.state.looks

    def prepared(self) -> Mapping[str, PreparedClaim]:
        """Claims that are handed out, by UID."""
        return {uid: claim for uid, claim in self.claims().items() if claim.state is ClaimState.PREPARED}

    def claims(self) -> Mapping[str, PreparedClaim]:
        """Claims in every state, by UID."""
        state = self._tools.journal.state
        return {uid: prepared_claim(claim, self._tools.node_name) for uid, claim in state.claims.items()}

    def foreign_placements(self) -> frozenset[tuple[int, Placement]]:
        """GPU instances that are not ours, by slot, as of the last `reconcile`: not to be offered."""
        return self._mending.foreign

    def hung(self) -> Mapping[str, str]:
        """GPUs with a call that has not come back, and its name."""
        return self._workers.hung()

    @property
    def busy(self) -> bool:
        """Is anything being done for any claim?"""
        return self._flights.busy

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found wrong with the driver's own state at the start, one sentence each, for an event."""
        return self._tools.journal.findings + self._confirmation.findings
