"""The claim engine as the driver's edge sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from partita_driver.cdi.files import CdiFolder
from partita_driver.engine import reconcile
from partita_driver.engine.gone import Holds
from partita_driver.engine.health import check_health
from partita_driver.engine.idle import idle_processes
from partita_driver.engine.known import Known
from partita_driver.engine.locks import Flights
from partita_driver.engine.lost_journal.confirm import Confirmation, Recall
from partita_driver.engine.mending import Mending
from partita_driver.engine.prepare import prepare, prepare_ahead
from partita_driver.engine.tools import Tools
from partita_driver.engine.undo import undo
from partita_driver.engine.validation.idle import IdleGpu, Outcome
from partita_driver.engine.validation.own_looks import OwnLooks
from partita_driver.engine.values import PreparedDevice, prepared_claim
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import Hardware, HardwareError
from partita_driver.hardware.workers import Deadlines, Workers
from partita_driver.health.faults import Fault
from partita_driver.journal.records import ClaimRecord
from partita_driver.journal.store import Durability, Journal
from partita_driver.moments import Moment
from partita_driver.mps.keeper import Mps
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.contracts import DeviceBackend, SharingStrategy, Validator
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.instances import GpuProcess
from partita_plugins.wire.resource_claim import ResourceClaim


class ClaimEngine(Known):
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
        on_faults: Callable[[Sequence[Fault]], None],
        observe: Callable[[str, float], None] = lambda _phase, _seconds: None,
        recall: Recall | None = None,
        mps: Mps | None = None,
        validates: Callable[[Moment], bool] = lambda _moment: True,
        validated: Callable[[str, str, str, float], None] = lambda _moment, _depth, _result, _seconds: None,
        destroy_unknown_instances: bool = False,
        runtime: Runtime = THREADS,
    ) -> None:
        """`on_faults` is called when faults are added or lifted: `faults()` already says so.

        `recall` says what the API server knows, for a journal that begins anew, or raises PartitaError; None: nobody
        can be asked, and CDI files and hardware are all there is to go by.
        `mps` runs MPS daemons; None: claims that ask for one are refused.
        `validates` says at which moments devices are validated now; `validated` is told of each look at a GPU: moment,
        depth, result (passed, failed, skipped, given-up) and seconds.
        `observe` is told the seconds of each phase: lock, steps, validate, cdi, journal, undo.
        """
        workers = Workers(runtime=runtime)
        tools = Tools(
            hardware=Hardware(backend, workers, deadlines),
            validator=validator,
            strategies=strategies,
            journal=journal,
            cdi=cdi,
            mps=mps,
            node_name=node_name,
            deadlines=deadlines,
            on_faults=on_faults,
            observe=observe,
            validates=validates,
            validated=validated,
            runtime=runtime,
        )
        flights = Flights(runtime)
        mending = Mending(tools, flights, destroy_unknown=destroy_unknown_instances)
        super().__init__(tools, workers, flights, Confirmation(tools, recall), mending)
        self._looks = OwnLooks(tools, flights, mending.undo_of)

    def start(self) -> None:
        """Discover, give slots, bring journal, hardware and CDI folder together; nothing else may run meanwhile.

        Raises Retryable where the node does not say what GPUs it has; all else is logged and left for `reconcile`.
        """
        tools, journal = self._tools, self._tools.journal
        self._confirmation.begin()
        tools.refresh()
        journal.change(lambda state: reconcile.after_boot(state, journal.boot_id), Durability.BEST_EFFORT)
        reached("boot-noted")
        self._confirmation.adopt()
        self._mending.after_start()
        self.reconcile()

    def confirm(self) -> None:
        """Complete a journal that began anew by what the API server knows. Raises PartitaError while that is nothing.

        Until then no claim is prepared and nothing may be published: faults and slots may be known to nobody else.
        """
        self._confirmation.ask()

    def refresh(self) -> bool:
        """Discover again; True if it changed. Raises Retryable where the node does not answer."""
        changed = self._tools.refresh()
        if changed:
            self._mending.look_again()
        return changed

    def prepare(self, claim: ResourceClaim) -> tuple[PreparedDevice, ...]:
        """Make, validate and hand out a claim's devices. Idempotent. Raises PartitaError with what to do."""
        return self.prepare_read(claim.metadata.uid, lambda: claim)

    def prepare_read(self, claim_uid: str, read: Callable[[], ResourceClaim]) -> tuple[PreparedDevice, ...]:
        """`prepare` of the claim that `read` gives. An Unprepare that comes meanwhile waits, and undoes it.

        Read or confirmed outside, a claim could be prepared after its Unprepare and stay (dra-driver-nvidia-gpu#1162).
        """

        def act() -> ClaimRecord:
            self.confirm()
            return prepare(self._tools, read())

        record = self._flights.run(claim_uid, "prepare", act, self._patience)
        return prepared_claim(record, self._tools.node_name).devices

    def prepare_ahead(self, claim: ResourceClaim) -> tuple[PreparedDevice, ...]:
        """Make, validate and write the CDI file of a claim whose pod is not bound yet; Prepare hands it out later.

        Idempotent. Raises PartitaError as `prepare` does. What is never handed out `undo_ahead` takes back, and
        `reconcile_claims` once the claim is gone.
        """

        def act() -> ClaimRecord:
            self.confirm()
            return prepare_ahead(self._tools, claim)

        record = self._flights.run(claim.metadata.uid, "prepare-ahead", act, self._patience)
        return prepared_claim(record, self._tools.node_name).devices

    def undo_ahead(self, claim_uid: str) -> None:
        """Take back what was made before the bind and not handed out since; nothing is a success. Raises Retryable."""
        act = partial(reconcile.undo_ahead, self._tools, claim_uid)
        self._flights.run(claim_uid, "undo-ahead", act, self._patience)

    def unprepare(self, claim_uid: str) -> None:
        """Take back what a claim holds. An unknown claim is a success. Raises PartitaError if something remains.

        On a GPU that hangs or is lost the rest is put off, and the hardware stays refused to others until it is done.
        """

        def act() -> None:
            self._confirmation.ask_for(claim_uid)
            undo(self._tools, claim_uid)

        self._flights.run(claim_uid, "unprepare", act, self._patience)

    def reconcile(self) -> None:
        """Try again what could not be undone, mend CDI folder and MPS daemons, look for instances of others.

        Logs what fails.
        """
        self._mending.everything(confirmed=not self.unconfirmed)

    def reconcile_claims(self, holds: Holds, *, gone_seconds: float = 0.0) -> tuple[str, ...]:
        """Undo claims that hold nothing here any more, prepared ones after so long. Returns the UIDs of those undone.

        Raises what `holds` raises where it cannot tell.
        """
        return self._mending.gone(holds, gone_seconds)

    def add_faults(self, *faults: Fault) -> None:
        """Quarantine hardware: all is journalled, then `on_faults` called once. What is known already is no news."""
        self._tools.quarantine.add(*faults)

    def check_health(self) -> None:
        """Ask every GPU what is wrong with it, and quarantine that. A GPU that does not answer is quarantined."""
        check_health(self._tools)

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        """What GPUs report, waiting at most that long for the first. Raises PartitaError if they do not answer."""
        try:
            return self._tools.hardware.wait_events(timeout_seconds)
        except HardwareError as error:
            raise error.error from error

    def revalidate(self, fault: Fault) -> bool:
        """Validate faulty hardware that no claim holds; lift the fault if it passes. False if not, or not now."""
        return self._looks.again(fault)

    def idle_gpus(self) -> tuple[IdleGpu, ...]:
        """GPUs that may be looked at while nobody has them; none where no validator runs or the settings say no."""
        return () if self.unconfirmed else self._looks.idle_gpus()

    def look_while_idle(self, gpu_uuid: str) -> Outcome:
        """Validate a GPU that nobody has; a claim that arrives goes first. Raises ValidationFailed once quarantined."""
        return self._looks.while_idle(gpu_uuid)

    def stop_idle_looks(self) -> None:
        """Have looks at idle GPUs given up, and let none begin."""
        self._tools.right_of_way.close()

    def idle_processes(self) -> Mapping[str, tuple[GpuProcess, ...]]:
        """Processes on GPUs that no claim is on, by GPU: other people's, or of a claim that just ended."""
        return idle_processes(self._tools)

    def close(self, deadline_seconds: float) -> bool:
        """Begin no more calls and write no more: the journal and the GPUs are a successor's.

        False if a call is still in progress after the deadline: only the end of the process keeps it off the hardware.
        """
        ended = self._flights.close(deadline_seconds)
        self._tools.journal.close()
        return ended

    @property
    def _patience(self) -> float:
        return self._tools.deadlines.lock_seconds
