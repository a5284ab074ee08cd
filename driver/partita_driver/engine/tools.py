"""What every part of the engine works with: hardware, journal, CDI folder, locks, and the node as it is now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import structlog

from partita_driver.cdi.files import CdiFolder
from partita_driver.engine.locks import GpuLocks
from partita_driver.engine.right_of_way import RightOfWay
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import Hardware, HardwareError
from partita_driver.hardware.slots import give_slots, slotted
from partita_driver.hardware.workers import Deadlines, Hung
from partita_driver.health.classes import cure_of
from partita_driver.health.faults import HUNG, REACTIONS, Fault, settled
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
        self.reports: Counter[tuple[str, str, int | None, int | None]] = Counter()
        """How often each fault was reported, by its key; a known one too."""

        self.node = NO_HARDWARE
        self._on_faults, self._observe = on_faults, observe
        self._refreshing = runtime.lock()

    def refresh(self) -> bool:
        """Discover again; True if it changed. Raises Retryable where the node does not answer.

        GPUs that hang are quarantined, and stay as they were last seen.
        """
        changed, hung = self._discovered()
        for error in hung:
            self.blamed(error)
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
        self.tell(gone)

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

    def quarantine(self, *faults: Fault, also: Callable[[JournalState], JournalState] = lambda state: state) -> None:
        """Journal faults, in one transaction with `also`, and tell once who publishes taints.

        What is known is no news, unless by now pods have to go.
        """
        stamped = {fault.key: self._stamped(fault) for fault in faults}
        news: list[Fault] = []

        def add(state: JournalState) -> JournalState:
            # Counted here, where nothing is lifted meanwhile.
            self.reports.update(stamped.keys())
            known = {one.key: one.effect for one in state.faults}
            news[:] = [fault for key, fault in stamped.items() if known.get(key) not in (fault.effect, "NoExecute")]
            newer = {fault.key for fault in news}
            kept = [one for one in state.faults if one.key not in newer]
            faulty = {fault.gpu_uuid for fault in faults}
            clean = tuple(uuid for uuid in state.clean if uuid not in faulty)
            return also(msgspec.structs.replace(state, faults=(*kept, *news), clean=clean))

        self.journal.change(add, Durability.BEST_EFFORT)
        reached("quarantined")
        for fault in news:
            log.warning("hardware quarantined", gpu=fault.gpu_uuid, reason=fault.reason, found=fault.message)
        self.tell(news)

    def _stamped(self, fault: Fault) -> Fault:
        """With the time, and the address of its GPU where that is known."""
        gpu = self.gpu(fault.gpu_uuid)
        return msgspec.structs.replace(
            fault,
            since=fault.since or self.runtime.unix_seconds(),
            pci_bus_id=gpu.pci_bus_id if gpu else fault.pci_bus_id,
        )

    def lift(self, fault: Fault, reports: int | None = None) -> bool:
        """End a quarantine and tell who publishes taints. False, and it stays, if it was reported more often by now."""
        lifted: list[Fault] = []
        stays = False

        def drop(state: JournalState) -> JournalState:
            nonlocal stays
            stays = reports is not None and self.reports[fault.key] != reports
            lifted[:] = [one for one in state.faults if one.key == fault.key and not stays]
            kept = tuple(one for one in state.faults if one.key != fault.key or stays)
            return msgspec.structs.replace(state, faults=kept)

        self.journal.change(drop, Durability.BEST_EFFORT)
        reached("lifted")
        for one in lifted:
            log.info("quarantine lifted", gpu=one.gpu_uuid, reason=one.reason)
        self.tell(lifted)
        return not stays

    def tell(self, faults: Sequence[Fault]) -> None:
        """Call the edge, if there is news. What goes wrong there is its own affair: all is journalled already."""
        if not faults:
            return
        try:
            self._on_faults(tuple(faults))
        except Exception:
            log.exception("on_faults failed", gpus=sorted({fault.gpu_uuid for fault in faults}))

    def blamed(self, error: Exception) -> Exception:
        """The error for the caller. Hardware that is to blame for it is quarantined."""
        if isinstance(error, Hung):
            if error.gpu_uuid:
                self.quarantine(Fault(gpu_uuid=error.gpu_uuid, reason=HUNG, message=error.args[0].partition(";")[0]))
            return error
        if isinstance(error, HardwareError):
            reason = REACTIONS[error.code].fault
            if reason and error.gpu_uuid:
                cure = cure_of(reason)
                self.quarantine(Fault(gpu_uuid=error.gpu_uuid, reason=reason, message=str(error), cure=cure))
            return error.error
        return error
