"""The claim engine as the driver's edge sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from partita_driver.cdi.files import CdiFolder
from partita_driver.engine import reconcile
from partita_driver.engine.confirm import Confirmation, Recall
from partita_driver.engine.daemons import mend_daemon, stray_daemons
from partita_driver.engine.gone import GoneClaims, Holds
from partita_driver.engine.health import check_health
from partita_driver.engine.idle import idle_processes
from partita_driver.engine.locks import Flights
from partita_driver.engine.prepare import prepare, prepare_ahead
from partita_driver.engine.tools import Tools
from partita_driver.engine.undo import undo
from partita_driver.engine.validation.again import revalidate
from partita_driver.engine.validation.idle import IdleGpu, Outcome, idle_gpus, look_while_idle
from partita_driver.engine.validation.own import own_claim_uid
from partita_driver.engine.values import PreparedClaim, PreparedDevice, prepared_claim
from partita_driver.fault_points import reached
from partita_driver.hardware.calls import Hardware, HardwareError
from partita_driver.hardware.workers import Deadlines, Workers
from partita_driver.health.faults import Fault
from partita_driver.journal.records import ClaimRecord, GpuLook
from partita_driver.journal.store import Durability, Journal
from partita_driver.lifecycle import ClaimState
from partita_driver.moments import Moment
from partita_driver.mps.keeper import Mps
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.contracts import DeviceBackend, SharingStrategy, Validator
from partita_plugins.errors import PartitaError, Retryable
from partita_plugins.model.gpu import GpuProcess, HealthEvent
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import SlottedHardware
from partita_plugins.wire.resource import ResourceClaim

log = structlog.get_logger(__name__)


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
        self._workers = Workers(runtime=runtime)
        self._tools = Tools(
            hardware=Hardware(backend, self._workers, deadlines),
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
        self._flights = Flights(runtime)
        self._confirmation = Confirmation(self._tools, recall)
        self._destroy_unknown = destroy_unknown_instances
        self._gone = GoneClaims(self._tools)
        self._foreign: frozenset[tuple[int, Placement]] = frozenset()

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
        reconcile.undo_each(reconcile.half_made(journal.state), self._undo)
        try:
            tools.cdi.sweep()
        except OSError as error:
            log.warning("CDI folder not swept", error=str(error))
        self.reconcile()

    @property
    def unconfirmed(self) -> bool:
        """Whether the journal began anew and the API server has not been asked yet: see `confirm`."""
        return self._confirmation.pending

    def confirm(self) -> None:
        """Complete a journal that began anew by what the API server knows. Raises PartitaError while that is nothing.

        Until then no claim is prepared and nothing may be published: faults and slots may be known to nobody else.
        """
        self._confirmation.ask()

    @property
    def node(self) -> SlottedHardware:
        """The hardware as it was last discovered, under slots."""
        return self._tools.node

    def refresh(self) -> bool:
        """Discover again; True if it changed. Raises Retryable where the node does not answer."""
        changed = self._tools.refresh()
        if changed:
            self._look_again()
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
        reconcile.undo_each(reconcile.undoing(self._tools.journal.state), self._undo)
        self._look_again()
        try:
            for uid in reconcile.stray_cdi(self._tools):
                self._flights.run(uid, "mend", partial(reconcile.mend_cdi, self._tools, uid), self._patience)
        except (PartitaError, OSError) as error:
            log.warning("CDI folder not mended", error=str(error))
        try:
            for uid in stray_daemons(self._tools):
                self._flights.run(uid, "mend", partial(mend_daemon, self._tools, uid), self._patience)
        except PartitaError as error:
            log.warning("MPS daemons not mended", error=str(error))
        self._foreign = reconcile.foreign_instances(self._tools, destroy=self._destroy_unknown and not self.unconfirmed)

    def _look_again(self) -> None:
        """Look at claims of a lost journal that were found again while their GPU did not answer. Logs what fails."""
        for uid in reconcile.unseen(self._tools.journal.state):
            try:
                self._flights.run(uid, "look", partial(reconcile.look_again, self._tools, uid), self._patience)
            except (PartitaError, OSError) as error:
                log.warning("claim not looked at again", claim=uid, error=str(error))

    def reconcile_claims(self, holds: Holds, *, gone_seconds: float = 0.0) -> tuple[str, ...]:
        """Undo claims that hold nothing here any more, prepared ones after so long. Returns the UIDs of those undone.

        Raises what `holds` raises where it cannot tell.
        """
        due = self._gone.due(holds, gone_seconds)
        reconcile.undo_each(due, self._undo)
        return tuple(claim.uid for claim in due if claim.uid not in self._tools.journal.state.claims)

    def faults(self) -> tuple[Fault, ...]:
        """Quarantined hardware, kept over restarts."""
        return self._tools.journal.state.faults

    def add_faults(self, *faults: Fault) -> None:
        """Quarantine hardware: all is journalled, then `on_faults` called once. What is known already is no news."""
        self._tools.quarantine(*faults)

    def check_health(self) -> None:
        """Ask every GPU what is wrong with it, and quarantine that. A GPU that does not answer is quarantined."""
        check_health(self._tools)

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        """What GPUs report, waiting at most that long for the first. Raises PartitaError if they do not answer."""
        try:
            return self._tools.hardware.wait_events(timeout_seconds)
        except HardwareError as error:
            raise error.error from error

    def lift_fault(self, fault: Fault) -> None:
        """End a quarantine, whatever its words and time; then `on_faults` is called."""
        self._tools.lift(fault)

    def revalidate(self, fault: Fault) -> bool:
        """Validate faulty hardware that no claim holds; lift the fault if it passes. False if not, or not now."""
        tools = self._tools
        gpu = tools.gpu(fault.gpu_uuid)
        if gpu is None:
            return False
        # What could not be undone while the GPU did not answer stands in the way of its validation.
        reconcile.undo_each(reconcile.undoing(tools.journal.state, gpu.uuid), self._undo)
        try:
            uid = own_claim_uid(gpu)
            return self._flights.run(uid, "revalidate", lambda: revalidate(tools, fault, gpu), self._patience)
        except (PartitaError, HardwareError) as error:
            log.info("not validated again", gpu=gpu.uuid, error=str(tools.blamed(error)))
            return False

    def idle_gpus(self) -> tuple[IdleGpu, ...]:
        """GPUs that may be looked at while nobody has them; none where no validator runs or the settings say no."""
        tools = self._tools
        if tools.validator is None or self.unconfirmed or not tools.validates(Moment.IDLE):
            return ()
        return idle_gpus(tools.journal.state, tools.node)

    def look_while_idle(self, gpu_uuid: str) -> Outcome:
        """Validate a GPU that nobody has; a claim that arrives goes first. Raises ValidationFailed once quarantined."""
        tools = self._tools
        gpu = tools.gpu(gpu_uuid)
        if gpu is None:
            return Outcome.NOT_NOW
        try:
            return self._flights.run(own_claim_uid(gpu), "look", lambda: look_while_idle(tools, gpu), 0.0)
        except Retryable as error:
            log.info("an idle GPU was not looked at", gpu=gpu_uuid, error=str(error))
            return Outcome.NOT_NOW

    def stop_idle_looks(self) -> None:
        """Have looks at idle GPUs given up, and let none begin."""
        self._tools.right_of_way.close()

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

    def idle_processes(self) -> Mapping[str, tuple[GpuProcess, ...]]:
        """Processes on GPUs that no claim is on, by GPU: other people's, or of a claim that just ended."""
        return idle_processes(self._tools)

    def foreign_placements(self) -> frozenset[tuple[int, Placement]]:
        """GPU instances that are not ours, by slot, as of the last `reconcile`: not to be offered."""
        return self._foreign

    def hung(self) -> Mapping[str, str]:
        """GPUs with a call that has not come back, and its name."""
        return self._workers.hung()

    @property
    def busy(self) -> bool:
        """Is anything being done for any claim?"""
        return self._flights.busy

    def close(self, deadline_seconds: float) -> bool:
        """Begin no more calls and write no more: the journal and the GPUs are a successor's.

        False if a call is still in progress after the deadline: only the end of the process keeps it off the hardware.
        """
        ended = self._flights.close(deadline_seconds)
        self._tools.journal.close()
        return ended

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found wrong with the driver's own state at the start, one sentence each, for an event."""
        return self._tools.journal.findings + self._confirmation.findings

    @property
    def _patience(self) -> float:
        return self._tools.deadlines.lock_seconds

    def _undo(self, claim: ClaimRecord) -> None:
        # No "unprepare": the kubelet's call must not join one that may do nothing.
        act = partial(reconcile.undo_unchanged, self._tools, claim)
        self._flights.run(claim.uid, "undo", act, self._patience)
