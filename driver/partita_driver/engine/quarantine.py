"""Faulty hardware: journalled, told to who publishes taints, and lifted when it is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import structlog

from partita_driver.fault_points import reached
from partita_driver.hardware.calls import NO_GPU, HardwareError
from partita_driver.hardware.workers import Hung
from partita_driver.health.classes import cure_of
from partita_driver.health.faults import HUNG, REACTIONS, Fault
from partita_driver.journal.records import JournalState
from partita_driver.journal.store import Durability, Journal
from partita_driver.runtime import Runtime
from partita_plugins.model.gpu import Gpu

log = structlog.get_logger(__name__)


class Quarantine:
    """The faults of one node, as its journal has them. Thread-safe."""

    def __init__(
        self,
        journal: Journal,
        runtime: Runtime,
        *,
        gpu: Callable[[str], Gpu | None],
        on_faults: Callable[[Sequence[Fault]], None],
    ) -> None:
        """`gpu` is a GPU as it was last discovered; `on_faults` is called when faults were added or lifted."""
        self._journal, self._runtime, self._gpu, self._on_faults = journal, runtime, gpu, on_faults
        self.reports: Counter[tuple[str, str, int | None, int | None]] = Counter()
        """How often each fault was reported, by its key; a known one too."""

    def add(self, *faults: Fault, also: Callable[[JournalState], JournalState] = lambda state: state) -> None:
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

        self._journal.change(add, Durability.BEST_EFFORT)
        reached("quarantined")
        for fault in news:
            log.warning("hardware quarantined", gpu=fault.gpu_uuid, reason=fault.reason, found=fault.message)
        self.tell(news)

    def _stamped(self, fault: Fault) -> Fault:
        """With the time, and the address of its GPU where that is known."""
        gpu = self._gpu(fault.gpu_uuid)
        return msgspec.structs.replace(
            fault,
            since=fault.since or self._runtime.unix_seconds(),
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

        self._journal.change(drop, Durability.BEST_EFFORT)
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
            if error.gpu_uuid not in NO_GPU:
                self.add(Fault(gpu_uuid=error.gpu_uuid, reason=HUNG, message=error.args[0].partition(";")[0]))
            return error
        if isinstance(error, HardwareError):
            reason = REACTIONS[error.code].fault
            if reason and error.gpu_uuid not in NO_GPU:
                cure = cure_of(reason)
                self.add(Fault(gpu_uuid=error.gpu_uuid, reason=reason, message=str(error), cure=cure))
            return error.error
        return error
