"""The composition root: watches, decisions, explainer, leader election and servers, put together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

import structlog

from partita_plugins.errors import InvalidInput
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.events import EventRecorder
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.answers.aside import Aside
from partita_scheduler.answers.decider import Decider
from partita_scheduler.answers.explainer import Explainer
from partita_scheduler.assumed.assumptions import Assumptions
from partita_scheduler.cluster.cpu import CpuTally, nobody_counts
from partita_scheduler.cluster.pods import PodWatch
from partita_scheduler.cluster.slice_index import SliceIndex
from partita_scheduler.cluster.watch import ClusterWatch, Listeners, both
from partita_scheduler.extender import Parts, create_app, create_health_app, create_why_app
from partita_scheduler.http.address import Address, check_exposure
from partita_scheduler.http.server import ExtenderServer
from partita_scheduler.kept.state import KeptState
from partita_scheduler.leader.elector import LeaderElector
from partita_scheduler.leader.handover import Handover
from partita_scheduler.learning.learner import Learner
from partita_scheduler.metrics import Metrics
from partita_scheduler.settings import Settings

log = structlog.get_logger(__name__)

VERSION_SECONDS = 300.0
"""How often the API server's version is asked for: it changes when the cluster is upgraded."""

VERSION_RETRY_SECONDS = 1.0
LEAVE_SECONDS = 5.0


class Application:
    """One extender process. `start()` returns when it listens; `stop()` hands over and drains it."""

    def __init__(self, api: KubeApi, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._slices = slices = SliceIndex()
        tally = CpuTally()
        self.kept = KeptState(
            slices.value,
            lambda: self.watch.server_minor,
            settings.scoring,
            tally.left_milli if settings.count_cpu else nobody_counts,
        )
        self.assumptions = Assumptions(self.metrics, listener=self.kept.told.assumption_changed)
        self.pods = PodWatch(
            api,
            both(self.kept.told.pod_changed, self.assumptions.pod_changed),
            tally=tally if settings.count_cpu else None,
            node_listener=self.kept.told.cpu_changed,
            may_concern=self.kept.may_concern,
        )
        self.learner = Learner(
            lambda: self.watch,
            scoring=settings.scoring,
            listener=self.kept.told.workload_changed,
            cpu=self.pods if settings.count_cpu else None,
        )
        # The kept state has an allocation before the assumption of it is dropped.
        self.watch = ClusterWatch(
            api,
            stale_seconds=settings.stale_seconds,
            slices=slices,
            pods=self.pods,
            listeners=Listeners(
                node=self.kept.told.node_changed,
                slice=self.kept.told.slice_changed,
                tainted=self.kept.told.tainted,
                device_class=self.kept.told.class_changed,
                claim=both(
                    self.kept.told.claim_changed,
                    self.assumptions.claim_changed,
                    self.learner.claim_changed,
                ),
                version=self._read_rules,
            ),
        )
        self._elector = LeaderElector(api, identity=settings.identity, namespace=settings.namespace, able=self._able)
        elector = self._elector if settings.leader_election else None
        self._handover = Handover(elector, patience_seconds=settings.handover_seconds)
        self.decider = Decider(
            self.watch,
            self.assumptions,
            self.metrics,
            judge=self.kept,
            answering=self.leading,
        )
        aside = Aside(self.assumptions, expecting=self.learner.expecting)
        self._caught_up = False
        self._stopping = threading.Event()
        self._draining = threading.Event()
        recorder = EventRecorder(api, "partita-scheduler", settings.identity)
        self.explainer = Explainer(
            self.watch,
            self.decider,
            aside,
            recorder,
            self.metrics,
            leading=self.leading,
            events_per_minute=settings.events_per_minute,
        )
        self.metrics.watch(
            view_age_seconds=lambda: self.watch.age_seconds,
            assumed_allocations=lambda: float(len(self.assumptions)),
            leader=lambda: float(self.leading()),
        )
        self.parts = Parts(
            decider=self.decider,
            aside=aside,
            source=self.watch,
            assumptions=self.assumptions,
            metrics=self.metrics,
            draining=self._draining.is_set,
            holding=lambda: self._elector.holding,
        )
        self._threads: list[threading.Thread] = []
        self._servers: list[ExtenderServer] = []
        self.address = settings.listen
        """Where the extender listens, with its real port after start()."""

    def leading(self) -> bool:
        return not self.settings.leader_election or self._elector.leading

    def _able(self) -> bool:
        # Once it has caught up a replica keeps the lease: another would not be faster.
        self._caught_up = self._caught_up or not (self.watch.doubt() or self.kept.behind)
        return self._caught_up and not self.watch.doubt()

    def start(self) -> Self:
        """Listen, then watch: from the first moment there is an answer, if only "no opinion". Raises InvalidInput."""
        settings = self.settings
        check_exposure(settings.listen, settings.tls)
        try:
            self._listen()
        except InvalidInput:
            self._close()  # A server's workers would keep the process.
            raise
        self.watch.start()
        self._spawn("kept", lambda: self.kept.run(self._stopping))
        self._spawn("version", self._follow_version)
        self._spawn("learner", lambda: self.learner.run(self._stopping))
        self._spawn("leader", self._handover.run)
        if settings.explain:
            self._spawn("explainer", lambda: self.explainer.run(self._stopping))
        log.info("listening", host=self.address.host, port=self.address.port, tls=settings.tls is not None)
        return self

    def end(self) -> None:
        """Told to end: hand over what we lead, and answer meanwhile. Told again: at once. Does not wait."""
        self._handover.tell()

    @property
    def handed_over(self) -> threading.Event:
        """Set some time after `end()`, when the process may close."""
        return self._handover.done

    def stop(self) -> None:
        """Hand over, then no new connections, and the running requests end."""
        if not self._handover.told.is_set():
            self.end()
        self.handed_over.wait()
        self._draining.set()
        self._stopping.set()
        self.watch.stop()
        self._close()
        for thread in self._threads:
            thread.join(LEAVE_SECONDS)
        log.info("stopped")

    def _listen(self) -> None:
        settings = self.settings
        server = ExtenderServer(
            create_app(self.parts, max_body_bytes=settings.max_body_bytes),
            settings.listen,
            tls=settings.tls,
            max_body_bytes=settings.max_body_bytes,
            threads=settings.threads,
            quick=self.parts.verbs.quick,
        )
        self.address = self._serve(server)
        for address, make in ((settings.health_listen, create_health_app), (settings.why_listen, create_why_app)):
            if address is not None:
                app = make(self.parts)
                self._serve(ExtenderServer(app, address, tls=None, max_body_bytes=1024, threads=2, kept=0))

    def _close(self) -> None:
        for server in self._servers:
            server.stop()

    def _serve(self, server: ExtenderServer) -> Address:
        address = server.bind()
        self._servers.append(server)
        self._spawn(f"http-{address.port}", server.serve)
        return address

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _read_rules(self, server_minor: int) -> None:
        everything = rules_for(server_minor).rule_without_selector_taints_all
        self.kept.told.tainted(self._slices.read_rules(all_without_selector=everything))

    def _follow_version(self) -> None:
        known = self.watch.refresh_version()
        while not self._stopping.wait(VERSION_SECONDS if known else VERSION_RETRY_SECONDS):
            known = self.watch.refresh_version() or known
