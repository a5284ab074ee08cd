"""The claim engine as the driver's edge sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from partita_driver.cdi import CdiFolder
from partita_driver.engine.values import PreparedClaim, PreparedDevice
from partita_driver.faults import Fault
from partita_driver.journal import Journal
from partita_driver.workers import Deadlines
from partita_plugins.contracts import DeviceBackend, SharingStrategy, Validator
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import SlottedHardware
from partita_plugins.wire.resource import ResourceClaim


class ClaimEngine:
    """Prepares, validates, hands out and takes back what claims hold on this node. Thread-safe."""

    def __init__(
        self,
        *,
        backend: DeviceBackend,
        validator: Validator | None,
        strategies: Mapping[str, SharingStrategy],
        journal: Journal,
        cdi: CdiFolder,
        node_name: str,
        deadlines: Deadlines,
        on_fault: Callable[[Fault], None],
        observe: Callable[[str, float], None] = lambda _phase, _seconds: None,
        destroy_unknown_instances: bool = False,
    ) -> None: ...

    def start(self) -> None:
        """Discover, give slots, bring journal and hardware together. Raises Retryable where no GPU list can be had."""
        raise NotImplementedError

    @property
    def node(self) -> SlottedHardware:
        """The hardware as it was last discovered, under slots."""
        raise NotImplementedError

    def refresh(self) -> bool:
        """Discover again; True if it changed."""
        raise NotImplementedError

    def prepare(self, claim: ResourceClaim) -> tuple[PreparedDevice, ...]:
        """Make, validate and hand out a claim's devices. Idempotent. Raises PartitaError with what to do."""
        raise NotImplementedError

    def unprepare(self, claim_uid: str) -> None:
        """Take back what a claim holds. An unknown claim is a success. Raises Retryable if something remains."""
        raise NotImplementedError

    def reconcile(self) -> None:
        """Try again what could not be undone, rewrite lost CDI files, look for instances of others."""
        raise NotImplementedError

    def reconcile_claims(self, exists: Callable[[str, str, str], bool]) -> tuple[str, ...]:
        """Undo claims that are gone from the API: `exists(namespace, name, uid)`. Returns their UIDs."""
        raise NotImplementedError

    def faults(self) -> tuple[Fault, ...]:
        """Quarantined hardware, kept over restarts."""
        raise NotImplementedError

    def add_fault(self, fault: Fault) -> None:
        """Quarantine hardware: journalled, then `on_fault` is called. A fault that is known already changes nothing."""
        raise NotImplementedError

    def lift_fault(self, fault: Fault) -> None:
        """End a quarantine, whatever its words and time; `on_fault` is called."""
        raise NotImplementedError

    def revalidate(self, fault: Fault) -> bool:
        """Validate faulty hardware that no claim holds; lift the fault if it passes. False if not, or not now."""
        raise NotImplementedError

    def prepared(self) -> Mapping[str, PreparedClaim]:
        """Claims that are handed out, by UID."""
        raise NotImplementedError

    def claims(self) -> Mapping[str, PreparedClaim]:
        """Claims in every state, by UID."""
        raise NotImplementedError

    def foreign_placements(self) -> frozenset[tuple[int, Placement]]:
        """GPU instances that are not ours, by slot: what overlaps them must not be offered."""
        raise NotImplementedError

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found wrong with the driver's own state at the start, one sentence each, for an event."""
        raise NotImplementedError
