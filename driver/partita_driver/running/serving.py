"""All that runs while the driver serves: what hears of what, and in which order it starts and stops."""

from __future__ import annotations

import time
from typing import Protocol

import structlog

from partita_driver.api.claims import other_drivers
from partita_driver.api.side import ApiSide
from partita_driver.binding.before_bind import BeforeBind
from partita_driver.doctor.neighbours import Neighbours
from partita_driver.engine import ClaimEngine
from partita_driver.health.watch import HealthWatch
from partita_driver.kubelet.server import KubeletServer
from partita_driver.loop import Loop
from partita_driver.metrics import Metrics
from partita_driver.opening.options import Options
from partita_driver.running.idle_looks import QUIET_SECONDS, IdleLooks
from partita_driver.running.upkeep import GONE_SECONDS, Upkeep

log = structlog.get_logger(__name__)

INSTANCES_SECONDS = 2.0
"""From a change of MIG instances to a look for those of others: most are the driver's own, and come in series."""

LONG_STOP_SECONDS = 1.0
"""A part that takes longer to stop is named in the log."""


class Part(Protocol):
    """What runs from start() to stop()."""

    @property
    def longest_stop_seconds(self) -> float:
        """Of stop(), when everything takes as long as it may."""

    def start(self) -> None: ...
    def stop(self) -> object: ...


class Serving:
    """The parts around an engine that has read its hardware."""

    def __init__(
        self,
        engine: ClaimEngine,
        api_side: ApiSide,
        kubelet: KubeletServer,
        *,
        options: Options,
        metrics: Metrics,
        probe: Loop,
        gone_seconds: float = GONE_SECONDS,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        """`probe` tells of the driver's readiness from time to time."""
        self.engine = engine
        self._health = HealthWatch(
            engine,
            api_side.publisher.request,
            again=options.revalidate_pause,
            on_instances=lambda: self.upkeep.request(INSTANCES_SECONDS),
        )
        self.upkeep = Upkeep(
            engine,
            claims=api_side.claims,
            on_finding=api_side.tell_finding,
            on_done=api_side.publisher.request,
            gone_seconds=gone_seconds,
        )
        self._neighbours = Neighbours(
            engine,
            node=api_side.node_facts,
            other_slices=lambda: other_drivers(api_side.kube, options.node_name),
            on_change=api_side.tell_neighbours,
        )
        self._before_bind = BeforeBind(
            api_side.kube,
            options.node_name,
            engine=engine,
            outcomes=api_side.status,
            counter=metrics,
            tainted=api_side.publish_now,
        )
        self.idle = IdleLooks(
            engine,
            period_seconds=lambda: api_side.settings.idle_seconds,
            not_ours=self._neighbours.gpus_of_others,
            on_failure=api_side.tell_idle_failure,
            quiet_seconds=quiet_seconds,
        )
        api_side.listener = self
        api_side.offering.begin(engine, self._neighbours)
        around = (self._neighbours, self.upkeep, self._health, self._before_bind)
        # Calls of the kubelet find everything running, and none waits for a look at an idle GPU at the end.
        self._parts: tuple[Part, ...] = (*api_side.parts, *around, kubelet, self.idle, probe)

    def start(self) -> None:
        """Raises Permanent where a socket cannot be made."""
        for part in self._parts:
            part.start()

    def stop(self) -> None:
        """The last that started stops first."""
        for part in reversed(self._parts):
            begun = time.monotonic()
            part.stop()
            if (seconds := time.monotonic() - begun) > LONG_STOP_SECONDS:
                log.info("stopping took long", part=type(part).__name__, seconds=round(seconds, 1))

    @property
    def longest_stop_seconds(self) -> float:
        """Of stop(), when every part takes as long as it may."""
        return sum(part.longest_stop_seconds for part in self._parts)

    def settings_changed(self) -> None:
        # What upkeep found can be told on the Node only once that is known.
        self.upkeep.request()

    def node_changed(self) -> None:
        self._neighbours.look()

    def pool_published(self, *, binding: bool) -> None:
        self._before_bind.published(binding=binding)
