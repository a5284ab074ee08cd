"""One node's driver from its start to its end: take the state folder over, read the hardware, serve, let go."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog

from partita_driver.api.side import ApiSide
from partita_driver.engine import ClaimEngine
from partita_driver.health.faults import Fault
from partita_driver.journal.store import Journal, read_boot_id
from partita_driver.kubelet.claims import Claims, read_claim
from partita_driver.kubelet.server import KubeletServer
from partita_driver.kubelet.sockets import remove_dead_sockets, socket_paths
from partita_driver.loop import Loop
from partita_driver.metrics import HttpEndpoint, Metrics
from partita_driver.node_engine import node_engine, read_hardware
from partita_driver.opening.opened import open_backend, open_validator
from partita_driver.opening.options import Options
from partita_driver.opening.simulated_machine import with_machine
from partita_driver.running.handover import ARRIVAL_SECONDS, ComingEngine, Handover
from partita_driver.running.idle_looks import QUIET_SECONDS
from partita_driver.running.pages import Progress, pages
from partita_driver.running.serving import Serving
from partita_driver.running.upkeep import GONE_SECONDS
from partita_driver.runtime import THREADS
from partita_plugins.contracts import Closeable
from partita_plugins.kube.api import KubeApi
from partita_plugins.wire import DRIVER_NAME, pool_name

log = structlog.get_logger(__name__)

PROBE_SECONDS = 1.0

CLOSE_SECONDS = 1.0
"""For calls still at work at the end, as the kubelet's have had their time and a validation may take minutes; and, at
the same time, for what the validator keeps ready."""


class Driver:
    """One node's driver. start() returns when it serves or has been told to stop."""

    gone_seconds = GONE_SECONDS
    quiet_seconds = QUIET_SECONDS

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stopping = threading.Event()
        self._handover = Handover(options, self._stopping)
        self._kube = KubeApi.connect(options.kubeconfig or None, user_agent="partita-driver")
        self.metrics = Metrics()
        shown = pages(self.metrics, engine=self._engine, not_ready=self.not_ready)
        self.http = HttpEndpoint(options.http_address, shown) if options.http_address else None
        self._backend = open_backend(with_machine(options, self._kube))
        self._validator = open_validator(options.validator, self._backend)
        self._api_side = ApiSide(
            options,
            self._kube,
            self.metrics,
            health=lambda: self._kubelet.health,
            validates=self._validator is not None,
        )
        self._coming = ComingEngine()
        self._kubelet = self._make_kubelet()
        self._serving: Serving | None = None
        """None until the hardware has been read."""

    def start(self) -> None:
        """Take the state folder over, bring the hardware in order, then serve. Raises PartitaError if that can't be."""
        options = self._options
        if self.http:
            self.http.start()
        if not self._handover.take_over(self._kubelet.start):
            return
        remove_dead_sockets(DRIVER_NAME, options.registry_dir, options.plugin_dir)
        engine = self._make_engine()
        if not read_hardware(engine, self._stopping):
            return
        self._serving = Serving(
            engine,
            self._api_side,
            self._kubelet,
            options=options,
            metrics=self.metrics,
            probe=Loop("probe", self._step_probe),
            gone_seconds=self.gone_seconds,
            quiet_seconds=self.quiet_seconds,
        )
        self._coming.come(engine)
        self._serving.start()

    def run(self) -> bool:
        """Serve until stop() is called from a signal handler or another thread.

        False if a call is still at work: the state folder is kept from a successor until this process has ended.
        """
        try:
            self.start()
            self._stopping.wait()
        finally:
            ended = self._end()
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
            serving=serving is not None,
            registration=self._kubelet.registration,
            settings_known=self._api_side.settings.current is not None,
            unconfirmed=serving is not None and serving.engine.unconfirmed,
            published=self._api_side.publisher.ready,
        )
        return progress.missing

    @property
    def longest_stop_seconds(self) -> float:
        """From stop() to the end of run(), once it serves: a pod's terminationGracePeriodSeconds must be longer."""
        parts = [part for part in (self._serving, self.http) if part]
        return ARRIVAL_SECONDS + sum(part.longest_stop_seconds for part in parts) + CLOSE_SECONDS

    def _engine(self) -> ClaimEngine | None:
        return self._serving.engine if self._serving else None

    def _make_engine(self) -> ClaimEngine:
        return node_engine(
            self._options,
            backend=self._backend,
            validator=self._validator,
            journal=self._open_journal(),
            kube=self._kube,
            metrics=self.metrics,
            validates=self._api_side.settings.validates,
            on_faults=self._faults_changed,
        )

    def _open_journal(self) -> Journal:
        return Journal(self._options.journal_dir, boot_id=read_boot_id(self._options.boot_id_file))

    def _make_kubelet(self) -> KubeletServer:
        options = self._options
        return KubeletServer(
            driver=DRIVER_NAME,
            sockets=socket_paths(DRIVER_NAME, options.registry_dir, options.plugin_dir, options.pod_uid),
            claims=Claims(
                read=lambda ref: read_claim(self._kube, ref),
                engine=self._coming,
                pool=pool_name(options.node_name),
                outcomes=self._api_side.status,
                counter=self.metrics,
                on_refused=self._api_side.claims.doubt,
                on_released=self._released,
            ),
            on_registered=self._registered,
            health_address=options.health_address,
        )

    def _released(self) -> None:
        self._api_side.publisher.released()
        if self._serving:
            self._serving.idle.wake()

    def _registered(self) -> None:
        self._handover.arrive()
        # A kubelet that restarted may have forgotten claims.
        self._api_side.claims.doubt()
        self._api_side.publisher.request()

    def _faults_changed(self, _faults: Sequence[Fault]) -> None:
        if self._serving:
            self._api_side.faults_changed()

    def _step_probe(self) -> float:
        self._kubelet.set_serving(serving=not self.not_ready())
        return PROBE_SECONDS

    def _end(self) -> bool:
        """Stop all, and let the state folder go unless a call is still at work."""
        if self._serving:
            self._handover.leave()
            self._serving.stop()
        else:
            self._kubelet.stop()
        ended = self._close()
        if self.http:
            self.http.stop()
        if ended:
            self._handover.release()
            log.info("stopped")
        else:
            log.warning("stopped, and a call is still at work: it ends with this process")
        return ended

    def _close(self) -> bool:
        """Close engine and validator side by side; whether no call is at work.

        NVML stays open until the process ends: a thread that still waits for events is in it.
        """
        end, closing = time.monotonic() + CLOSE_SECONDS, None
        if isinstance(self._validator, Closeable):
            closing = THREADS.start("close-validator", self._validator.close)
        ended = self._serving.engine.close(CLOSE_SECONDS) if self._serving else True
        if closing:
            closing.join(max(0.0, end - time.monotonic()))
        return ended
