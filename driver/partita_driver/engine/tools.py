"""What every part of the engine works with: hardware, journal, CDI folder, locks, and the node as it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import structlog

from partita_driver.cdi.files import CdiFolder
from partita_driver.engine.locks import GpuLocks
from partita_driver.engine.quarantine import Quarantine
from partita_driver.engine.right_of_way import RightOfWay
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import Hardware, HardwareError
from partita_driver.hardware.slots import give_slots, slotted
from partita_driver.hardware.workers import Deadlines, Hung
from partita_driver.health.faults import Fault, settled
from partita_driver.journal.records import ClaimRecord, JournalState
from partita_driver.journal.store import Durability, Journal
from partita_driver.lifecycle import ClaimEvent
from partita_driver.moments import Moment
from partita_driver.mps.keeper import Mps
from partita_driver.runtime import Runtime
from partita_plugins.contracts import SharingStrategy, Validator
from partita_plugins.errors import Retryable
from partita_plugins.model.gpu import Gpu, NodeHardware
from partita_plugins.model.offer import SlottedHardware

log = structlog.get_logger(__name__)

NO_HARDWARE = SlottedHardware(hardware=NodeHardware(driver_version="", cuda_version="", gpus=(), links=()), slots=())


class Tools:
    """Shared by all calls of one engine; thread-safe."""

    def __init__(
        self,
        *,
        hardware: Hardware,
        validator: Validator | None,
        strategies: Mapping[str, SharingStrategy],
        journal: Journal,
        cdi: CdiFolder,
        mps: Mps | None,
        node_name: str,
        deadlines: Deadlines,
        on_faults: Callable[[Sequence[Fault]], None],
        observe: Callable[[str, float], None],
        validates: Callable[[Moment], bool],
        validated: Callable[[str, str, str, float], None],
        runtime: Runtime,
    ) -> None:
        self.hardware, self.validator, self.strategies = hardware, validator, strategies
        self.journal, self.cdi, self.node_name, self.deadlines = journal, cdi, node_name, deadlines
        self.mps = mps
        self.validates, self.validated = validates, validated
        self.runtime = runtime
        self.locks = GpuLocks(runtime)
        self.right_of_way = RightOfWay(runtime)
        self.quarantine = Quarantine(journal, runtime, gpu=self.gpu, on_faults=on_faults)
        self.node = NO_HARDWARE
        self._observe = observe
        self._refreshing = runtime.lock()

    def refresh(self) -> bool:
        """Discover again; True if it changed. Raises Retryable where the node does not answer.

        GPUs that hang are quarantined, and stay as they were last seen.
        """
        changed, hung = self._discovered()
        for error in hung:
            self.quarantine.blamed(error)
        return changed

    def _discovered(self) -> tuple[bool, tuple[Hung, ...]]:
        with self._refreshing:
            try:
                found = self.hardware.discover(self.node.hardware)
            except HardwareError as error:
                raise Retryable(str(error.error), delay_seconds=5.0) from error
            hardware = found.hardware
            slots = give_slots(self.journal.state.slots, hardware)
            if slots != self.journal.state.slots:
                self.journal.change(lambda state: msgspec.structs.replace(state, slots=slots), Durability.BEST_EFFORT)
                reached("slots-given")
            before, self.node = self.node, slotted(slots, hardware)
            self._settle_faults(found.hanging)
            return before != self.node, found.hung

    def _settle_faults(self, hanging: frozenset[str]) -> None:
        """Faults follow their GPUs: one that was exchanged takes its own along."""
        gpus = self.node.hardware.gpus
        before = self.journal.state.faults
        if settled(before, gpus, self.journal.state.slots, hanging) == before:
            return

        def settle(state: JournalState) -> JournalState:
            return msgspec.structs.replace(state, faults=settled(state.faults, gpus, state.slots, hanging))

        kept = {fault.key for fault in self.journal.change(settle, Durability.BEST_EFFORT).faults}
        present = {gpu.uuid for gpu in gpus}
        gone = [
            fault
            for fault in before
            if fault.key not in kept and fault.gpu_uuid != fault.pci_bus_id and fault.gpu_uuid not in present
        ]
        for fault in gone:
            log.info("quarantine ended, the GPU was exchanged", gpu=fault.gpu_uuid, reason=fault.reason)
        self.quarantine.tell(gone)

    def gpu(self, gpu_uuid: str) -> Gpu | None:
        """A GPU as it was last discovered; None if it was not."""
        return next((gpu for gpu in self.node.hardware.gpus if gpu.uuid == gpu_uuid), None)

    @contextmanager
    def lock(self, gpu_uuids: tuple[str, ...]) -> Iterator[None]:
        """Hold GPUs, in the order of their UUIDs: unlike slots, they are known for a lost GPU too."""
        began = self.runtime.monotonic()
        with self.locks.hold(sorted(set(gpu_uuids)), self.deadlines.lock_seconds):
            self._observe("lock", self.runtime.monotonic() - began)
            yield

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Tell how long a phase took, also when it failed."""
        began = self.runtime.monotonic()
        try:
            yield
        finally:
            self._observe(phase, self.runtime.monotonic() - began)

    def put(
        self,
        claim: ClaimRecord,
        event: ClaimEvent,
        durability: Durability,
        also: Callable[[JournalState], JournalState] = lambda state: state,
    ) -> ClaimRecord:
        """Journal a claim after an event, in one transaction with `also`. Raises what refuses it."""
        after = claim.after(event)
        with self.timed("journal"):
            self.journal.change(lambda state: also(state).with_claim(after), durability)
        return after
