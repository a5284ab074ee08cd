"""Who else uses this node's GPUs, looked for from time to time: what others own is withheld from the slices, and said.

What counts as another user is decided in doctor/others.py, which `partita-driver doctor` reads too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from partita_driver.doctor.facts import GpuFacts, KubeFacts, NodeFacts
from partita_driver.doctor.others import Other, others
from partita_driver.loop import Loop
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.model.instances import GpuProcess
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import SlottedHardware
from partita_plugins.pauses import spread

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
WAIT_SECONDS = 0.2
"""For the Node to be seen."""

SLICES_SECONDS = 600.0
"""Between two lists of the node's slices: another DRA driver comes with an installation, not with a pod."""


class IdleGpus(Protocol):
    """What this module needs of the claim engine."""

    @property
    def node(self) -> SlottedHardware: ...
    def idle_processes(self) -> Mapping[str, tuple[GpuProcess, ...]]: ...


class Neighbours:
    """A loop. `step` may be called alone; start() lets a thread call it."""

    longest_stop_seconds = Loop.longest_stop_seconds

    def __init__(
        self,
        engine: IdleGpus,
        *,
        node: Callable[[], KubeFacts | None],
        other_slices: Callable[[], tuple[str, ...]],
        on_change: Callable[[tuple[Other, ...]], None],
        runtime: Runtime = THREADS,
    ) -> None:
        """`node` is what the Node says of itself, None until it has been seen; `other_slices` the drivers besides ours
        that publish slices of this node, and may raise PartitaError. `on_change` hears who is there, also at the first
        look, when nobody is.
        """
        self._engine, self._node, self._other_slices = engine, node, other_slices
        self._on_change, self._runtime = on_change, runtime
        self._lock = threading.Lock()
        self._slices: tuple[float, tuple[str, ...]] | None = None
        """When they are to be listed again, and what was found."""

        self._last_seen: Mapping[str, frozenset[int]] = {}
        self._found: tuple[Other, ...] | None = None
        self.loop = Loop("neighbours", self.step, runtime)

    def start(self) -> None:
        self.loop.start()

    def stop(self) -> None:
        self.loop.stop()

    def look(self) -> None:
        """Look soon: the Node has changed."""
        self.loop.wake()

    @property
    def found(self) -> tuple[Other, ...] | None:
        """Who was there at the last look; None before the first."""
        with self._lock:
            return self._found

    def gpus_of_others(self) -> frozenset[str] | None:
        """UUIDs of GPUs that are somebody else's; None before the first look."""
        if self.found is None:
            return None
        gpus = self._engine.node.gpus
        return frozenset(gpus[slot].uuid for slot, _ in self.withheld() if slot in gpus)

    def withheld(self) -> frozenset[tuple[int, Placement | None]]:
        """GPUs that are somebody else's, by slot; nothing before the first look."""
        gpus = self._engine.node.gpus
        owned = [other for other in self.found or () if other.withholds]
        return frozenset(
            (slot, None)
            for slot, gpu in gpus.items()
            if any(not other.gpu_uuid or other.gpu_uuid == gpu.uuid for other in owned)
        )

    def step(self) -> float:
        """Look once. Returns seconds until the next time."""
        node = self._node()
        if node is None:
            return WAIT_SECONDS
        facts = NodeFacts(
            node_name="",
            backend="",
            gpus=self._gpus(),
            kube=KubeFacts(labels=node.labels, allocatable=node.allocatable, other_slices=self._drivers()),
        )
        found = others(facts)
        with self._lock:
            before, self._found = self._found, found
        if found != before:
            for other in found:
                log.warning("somebody else uses a GPU", reason=other.reason, what=other.what, withheld=other.withholds)
            self._on_change(found)
        return LOOK_SECONDS

    def _gpus(self) -> tuple[GpuFacts, ...]:
        """GPUs that nobody of ours is on, with processes that were there a look ago: ours take a moment to end."""
        running = self._engine.idle_processes()
        before, self._last_seen = (
            self._last_seen,
            {uuid: frozenset(process.pid for process in processes) for uuid, processes in running.items()},
        )
        known = {gpu.uuid: gpu for gpu in self._engine.node.gpus.values()}
        return tuple(
            GpuFacts(gpu=known[uuid], processes=stayed)
            for uuid, processes in running.items()
            if uuid in known
            and (stayed := tuple(process for process in processes if process.pid in before.get(uuid, frozenset())))
        )

    def _drivers(self) -> tuple[str, ...]:
        now = self._runtime.monotonic()
        if self._slices is None or now >= self._slices[0]:
            drivers = self._other_slices()
            self._slices = (now + spread(SLICES_SECONDS, self._runtime.random), drivers)
        return self._slices[1]
