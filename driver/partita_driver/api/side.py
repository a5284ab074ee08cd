"""What the driver has of the API server: settings and claims come from it, slices and what is told go to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from partita_driver.api.claims import ClaimsInApi
from partita_driver.api.offering import Offering
from partita_driver.api.status import StatusWriter
from partita_driver.doctor.facts import KubeFacts
from partita_driver.doctor.others import Other
from partita_driver.kubelet.health_service import HealthService
from partita_driver.metrics import Metrics
from partita_driver.opening.options import Options
from partita_driver.settings.parse import NodeSettings
from partita_driver.settings.watch import SettingsWatch
from partita_driver.slices.pool import PoolInputs, Published
from partita_driver.slices.publisher import Publisher
from partita_plugins.errors import ValidationFailed
from partita_plugins.kube.api import KubeApi

log = structlog.get_logger(__name__)

PUBLISH_NOW_SECONDS = 5.0
"""Longest wait for a fault's taint to reach the API server before Prepare answers with the error."""


class Listener(Protocol):
    """Who hears of what came from the API server, or has reached it."""

    def settings_changed(self) -> None: ...
    def node_changed(self) -> None: ...
    def pool_published(self, *, binding: bool) -> None:
        """`binding`: the slices let kube-scheduler wait for conditions, or did until now."""


class ApiSide:
    """The parts that speak with the API server. None of them runs before it is started."""

    listener: Listener
    """Set before any part is started."""

    def __init__(
        self,
        options: Options,
        kube: KubeApi,
        metrics: Metrics,
        *,
        health: Callable[[], HealthService],
        validates: bool,
    ) -> None:
        """`health` is the kubelet's list of devices; without a validator (`validates`) nothing waits for a bind."""
        self.kube = kube
        self.claims = ClaimsInApi(kube, options.node_name)
        self.status = StatusWriter(kube, options.node_name, metrics)
        self.settings = SettingsWatch(
            kube,
            options.node_name,
            options.namespace,
            on_change=self._settings_changed,
            on_node=self._node_changed,
            report=self.status.settings_refused,
            remembered=options.settings_file,
        )
        self.offering = Offering(
            options.node_name,
            settings=lambda: self.settings.current,
            health=health,
            metrics=metrics,
            validates=validates,
        )
        self.publisher = Publisher(
            kube,
            options.node_name,
            inputs=self.offering.inputs,
            owner=lambda: self.settings.owner,
            allocated=self.claims.allocated,
            counter=metrics,
            on_pool=self._pool_published,
            on_features=self.status.features_changed,
        )

    @property
    def parts(self) -> tuple[StatusWriter, SettingsWatch, Publisher]:
        """In the order in which they start."""
        return self.status, self.settings, self.publisher

    def publish_now(self) -> bool:
        """Publish, and wait a bounded time; whether the API server has it."""
        return self.publisher.publish_now(PUBLISH_NOW_SECONDS)

    def faults_changed(self) -> None:
        """Called in the middle of a failing Prepare: the taint must be there before the kubelet hears of the error."""
        self.offering.faults_changed()
        if not self.publish_now():
            log.warning("a fault's taint has not reached the API server yet")

    def node_facts(self) -> KubeFacts | None:
        """What the Node says of itself; None until it has been seen."""
        node = self.settings.node
        return KubeFacts(labels=node.metadata.labels, allocatable=node.status.allocatable) if node else None

    def tell_finding(self, finding: str) -> bool:
        """Damage found at the start. False while the Node is not known, on which it is told."""
        owner = self.settings.owner
        if owner is not None:
            self.status.state_found(owner, finding)
        return owner is not None

    def tell_idle_failure(self, error: ValidationFailed) -> None:
        if owner := self.settings.owner:
            self.status.idle_gpu_failed(owner, error)

    def tell_neighbours(self, found: tuple[Other, ...]) -> None:
        """Others use the node's GPUs, or do no more: what they own is withheld."""
        if owner := self.settings.owner:
            self.status.others_changed(owner, found)
        self.publisher.request()

    def _settings_changed(self, _settings: NodeSettings) -> None:
        self.publisher.request()
        self.listener.settings_changed()

    def _node_changed(self) -> None:
        self.listener.node_changed()

    def _pool_published(self, inputs: PoolInputs, pool: Published) -> None:
        self.offering.published(inputs, pool)
        self.listener.pool_published(binding=self.publisher.binding)
