"""The driver put together: which part hears of what, and in which order all of it starts and stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from partita_driver.binding.before_bind import BeforeBind
from partita_driver.cdi.files import CdiFolder
from partita_driver.claims import Claims, read_claim
from partita_driver.claims_in_api import ClaimsInApi, other_drivers, recall
from partita_driver.doctor.facts import KubeFacts
from partita_driver.doctor.others import Other
from partita_driver.engine import ClaimEngine
from partita_driver.handover import ARRIVAL_SECONDS, ComingEngine, Handover
from partita_driver.hardware.workers import Deadlines
from partita_driver.health.faults import Fault
from partita_driver.health.watch import HealthWatch
from partita_driver.idle_looks import QUIET_SECONDS, IdleLooks
from partita_driver.journal.store import Journal, read_boot_id
from partita_driver.kubelet.server import KubeletServer
from partita_driver.kubelet.sockets import remove_dead_sockets, socket_paths
from partita_driver.loop import Loop
from partita_driver.metrics import HttpEndpoint, Metrics
from partita_driver.moments import Moment
from partita_driver.neighbours import Neighbours
from partita_driver.offering import Offering
from partita_driver.options import Options, common_edits, open_backend, open_mps, open_strategies, open_validator
from partita_driver.pages import Progress, pages
from partita_driver.settings.parse import NodeSettings
from partita_driver.settings.watch import SettingsWatch
from partita_driver.simulated_machine import with_machine
from partita_driver.slices.pool import PoolInputs, Published
from partita_driver.slices.publisher import Publisher
from partita_driver.status import StatusWriter
from partita_driver.upkeep import GONE_SECONDS, Upkeep
from partita_plugins.errors import Retryable, ValidationFailed
from partita_plugins.kube.api import KubeApi
from partita_plugins.wire import DRIVER_NAME, pool_name

log = structlog.get_logger(__name__)

PUBLISH_NOW_SECONDS = 5.0
"""Longest wait for a fault's taint to reach the API server before Prepare answers with the error."""

INSTANCES_SECONDS = 2.0
"""From a change of MIG instances to a look for those of others: most are the driver's own, and come in series."""

PROBE_SECONDS = 1.0
LONG_STOP_SECONDS = 1.0
"""A part that takes longer to stop is named in the log."""

CLOSE_SECONDS = 1.0
"""For calls still at work at the end: the kubelet's have had their time, and a validation may take minutes."""


class Part(Protocol):
    """What runs from start() to stop()."""

    @property
    def longest_stop_seconds(self) -> float:
        """Of stop(), when everything takes as long as it may."""

    def stop(self) -> object: ...


class Driver:
    """One node's driver. start() returns when it serves or has been told to stop."""

    gone_seconds = GONE_SECONDS
    quiet_seconds = QUIET_SECONDS

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stopping = threading.Event()
        self._serving = False
        self._handover = Handover(options, self._stopping)
        self._api = KubeApi.connect(options.kubeconfig or None, user_agent="partita-driver")
        self.metrics = Metrics()
        shown = pages(self.metrics, engine=lambda: self._engine if self._serving else None, not_ready=self.not_ready)
        self.http = HttpEndpoint(options.http_address, shown) if options.http_address else None
        self._status = StatusWriter(self._api, options.node_name, self.metrics)
        self._settings = SettingsWatch(
            self._api,
            options.node_name,
            options.namespace,
            on_change=self._settings_changed,
            on_node=self._node_changed,
            report=self._status.settings_refused,
            remembered=options.settings_file,
        )
        self._backend = open_backend(with_machine(options, self._api))
        self._validator = open_validator(options.validator, self._backend)
        self._claims_in_api = ClaimsInApi(self._api, options.node_name)
        self._engine: ClaimEngine
        self._coming = ComingEngine()
        self._offering = Offering(
            options.node_name,
            settings=lambda: self._settings.current,
            health=lambda: self._kubelet.health,
            metrics=self.metrics,
            validates=self._validator is not None,
        )
        self._publisher = Publisher(
            self._api,
            options.node_name,
            inputs=self._offering.inputs,
            owner=lambda: self._settings.owner,
            allocated=self._claims_in_api.allocated,
            counter=self.metrics,
            on_pool=self._pool_published,
            on_features=self._status.features_changed,
        )
        self._kubelet = self._make_kubelet()
        self._probe = Loop("probe", self._step_probe)

    def start(self) -> None:
        """Take the state folder over, bring the hardware in order, then serve. Raises PartitaError if that can't be."""
        options = self._options
        if self.http:
            self.http.start()
        if not self._handover.take_over(self._kubelet.start):
            return
        remove_dead_sockets(DRIVER_NAME, options.registry_dir, options.plugin_dir)
        self._engine = self._make_engine()
        while True:
            try:
                self._engine.start()
                break
            except Retryable as error:
                log.warning("the hardware cannot be read yet", error=str(error), retry_seconds=error.delay_seconds)
                if self._stopping.wait(error.delay_seconds):
                    return
        self._health = HealthWatch(
            self._engine,
            self._publisher.request,
            again=options.revalidate_pause,
            on_instances=lambda: self._upkeep.request(INSTANCES_SECONDS),
        )
        self._upkeep = Upkeep(
            self._engine,
            claims=self._claims_in_api,
            on_finding=self._tell_finding,
            on_done=self._publisher.request,
            gone_seconds=self.gone_seconds,
        )
        self._neighbours = Neighbours(
            self._engine,
            node=self._node_facts,
            other_slices=lambda: other_drivers(self._api, options.node_name),
            on_change=self._neighbours_changed,
        )
        self._before_bind = BeforeBind(
            self._api,
            options.node_name,
            engine=self._engine,
            outcomes=self._status,
            counter=self.metrics,
            tainted=lambda: self._publisher.publish_now(PUBLISH_NOW_SECONDS),
        )
        self._idle = IdleLooks(
            self._engine,
            period_seconds=self._idle_period,
            not_ours=self._neighbours.gpus_of_others,
            on_failure=self._tell_idle_failure,
            quiet_seconds=self.quiet_seconds,
        )
        self._offering.begin(self._engine, self._neighbours)
        self._coming.come(self._engine)
        self._serving = True
        for part in (self._status, self._settings, self._publisher, self._kubelet, self._health, self._upkeep):
            part.start()
        self._neighbours.start()
        self._before_bind.start()
        self._idle.start()
        self._probe.start()

    def run(self) -> bool:
        """Serve until stop() is called from a signal handler or another thread.

        False if a call is still at work: the state folder is kept from a successor until this process has ended.
        """
        try:
            self.start()
            self._stopping.wait()
        finally:
            ended = self._stop_parts()
        return ended

    def stop(self) -> None:
        """Ask run() to end."""
        self._stopping.set()

    def not_ready(self) -> list[str]:
        """Why the driver is not ready, in plain words; empty when it is."""
        serving = self._serving
        progress = Progress(
            waiting=self._handover.waiting,
            newcomer=bool(self._options.pod_uid),
            serving=serving,
            registration=self._kubelet.registration,
            settings_known=self._settings.current is not None,
            unconfirmed=serving and self._engine.unconfirmed,
            published=self._publisher.ready,
        )
        return progress.missing

    def _make_engine(self) -> ClaimEngine:
        return ClaimEngine(
            backend=self._backend,
            validator=self._validator,
            strategies=open_strategies(),
            journal=self._open_journal(),
            cdi=CdiFolder(
                self._options.cdi_dir,
                common_edits(self._options, lambda: self._engine.node.hardware.driver_version),
                host_root=self._options.host_root,
            ),
            node_name=self._options.node_name,
            deadlines=Deadlines(),
            on_faults=self._faults_changed,
            observe=self.metrics.phase,
            recall=lambda: recall(self._api, self._options.node_name),
            mps=open_mps(self._options, self._api),
            validates=self._validates,
            validated=self.metrics.validated,
        )

    def _open_journal(self) -> Journal:
        return Journal(self._options.journal_dir, boot_id=read_boot_id(self._options.boot_id_file))

    def _make_kubelet(self) -> KubeletServer:
        options = self._options
        return KubeletServer(
            driver=DRIVER_NAME,
            sockets=socket_paths(DRIVER_NAME, options.registry_dir, options.plugin_dir, options.pod_uid),
            claims=Claims(
                read=lambda ref: read_claim(self._api, ref),
                engine=self._coming,
                pool=pool_name(options.node_name),
                outcomes=self._status,
                counter=self.metrics,
                on_refused=self._claims_in_api.doubt,
                on_released=self._released,
            ),
            on_registered=self._registered,
            health_address=options.health_address,
        )

    def _released(self) -> None:
        self._publisher.released()
        if self._serving:
            self._idle.wake()

    def _registered(self) -> None:
        self._handover.arrive()
        # A kubelet that restarted may have forgotten claims.
        self._claims_in_api.doubt()
        self._publisher.request()

    def _settings_changed(self, _settings: NodeSettings) -> None:
        self._publisher.request()
        # What it found can be told on the Node only once that is known.
        self._upkeep.request()

    def _faults_changed(self, _faults: Sequence[Fault]) -> None:
        """Called in the middle of a failing Prepare: the taint must be there before the kubelet hears of the error."""
        if not self._serving:
            return
        self._offering.faults_changed()
        if not self._publisher.publish_now(PUBLISH_NOW_SECONDS):
            log.warning("a fault's taint has not reached the API server yet")

    def _pool_published(self, inputs: PoolInputs, pool: Published) -> None:
        self._offering.published(inputs, pool)
        self._before_bind.published(binding=self._publisher.binding)

    def _validates(self, moment: Moment) -> bool:
        settings = self._settings.current
        return settings is None or settings.validation.at(moment)

    def _idle_period(self) -> float | None:
        settings = self._settings.current
        return settings.validation.idle_seconds if settings else None

    def _tell_idle_failure(self, error: ValidationFailed) -> None:
        if owner := self._settings.owner:
            self._status.idle_gpu_failed(owner, error)

    def _node_facts(self) -> KubeFacts | None:
        node = self._settings.node
        return KubeFacts(labels=node.metadata.labels, allocatable=node.status.allocatable) if node else None

    def _node_changed(self) -> None:
        if self._serving:
            self._neighbours.look()

    def _neighbours_changed(self, found: tuple[Other, ...]) -> None:
        if owner := self._settings.owner:
            self._status.others_changed(owner, found)
        self._publisher.request()

    def _tell_finding(self, finding: str) -> bool:
        owner = self._settings.owner
        if owner is not None:
            self._status.state_found(owner, finding)
        return owner is not None

    def _step_probe(self) -> float:
        self._kubelet.set_serving(serving=not self.not_ready())
        return PROBE_SECONDS

    @property
    def longest_stop_seconds(self) -> float:
        """From stop() to the end of run(), once it serves: a pod's terminationGracePeriodSeconds must be longer."""
        parts = (*self._parts(), *([self.http] if self.http else []))
        return ARRIVAL_SECONDS + sum(part.longest_stop_seconds for part in parts) + CLOSE_SECONDS

    def _parts(self) -> tuple[Part, ...]:
        """In the order in which they stop."""
        local = (
            self._probe,
            self._idle,
            self._kubelet,
            self._before_bind,
            self._health,
            self._upkeep,
            self._neighbours,
        )
        return (*local, self._publisher, self._settings, self._status)

    def _stop_parts(self) -> bool:
        ended = True
        if self._serving:
            self._handover.leave()
            for part in self._parts():
                begun = time.monotonic()
                part.stop()
                if (seconds := time.monotonic() - begun) > LONG_STOP_SECONDS:
                    log.info("stopping took long", part=type(part).__name__, seconds=round(seconds, 1))
            ended = self._engine.close(CLOSE_SECONDS)
        else:
            self._kubelet.stop()
        if self.http:
            self.http.stop()
        if ended:
            self._handover.release()
            log.info("stopped")
        else:
            log.warning("stopped, and a call is still at work: it ends with this process")
        return ended
