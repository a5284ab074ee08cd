"""A publisher beside an API server in memory: no socket, no thread, and time that only a test moves."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from hack.robustness.simulation.api import Client, Listener, Server
from hack.robustness.simulation.tasks import Tasks

from partita_driver.runtime import Threads
from partita_driver.slices.plan import Owner
from partita_driver.slices.pool import PoolInputs, Published
from partita_driver.slices.publisher import WITHDRAW_SECONDS, Publisher
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import Resource
from partita_plugins.model.offer import Offer
from partita_plugins.wire.resource_slice import Device, ResourceSlice
from tests.driver.edge.worlds import NODE, Counted, inputs_of, slotted

TRIES = 8
"""Rounds in which a publisher must succeed once nothing disturbs it."""

H100 = slotted("hgx-h100")


class Clock(Threads):
    """Time that only a test moves, and chance that adds nothing."""

    random = staticmethod(lambda: 0.0)

    def __init__(self) -> None:
        self.now = 0.0
        self.monotonic = lambda: self.now


class Store(Server):
    """Slices, and somebody who looks at each change."""

    def __init__(self, on_change: Callable[[ResourceSlice | None, ResourceSlice | None], None]) -> None:
        super().__init__(Tasks(random.Random(0)))
        self._on_change = on_change

    def _tell(self, _resource: Resource, old: Any, new: Any) -> None:
        self._on_change(old, new)


class Api(Client):
    """Requests of one process; `disturb` is called before each, and after each that wrote."""

    disturb: Callable[[], None] = staticmethod(lambda: None)

    def _travel(self, what: str) -> None:
        self.disturb()

    def _answer(self, raw: bytes) -> bytes:
        self.disturb()
        return raw


@dataclass
class Watch:
    """Tells of slices when a test says so."""

    slices: dict[str, ResourceSlice]
    seen: Listener
    synced: bool = False
    untold: list[tuple[ResourceSlice | None, ResourceSlice | None]] = field(default_factory=list)

    def start(self) -> None:
        self.synced = True
        self.untold = [(None, entry) for _, entry in sorted(self.slices.items())]

    def stop(self) -> None: ...

    def deliver(self) -> None:
        while self.untold:
            self.seen(*self.untold.pop(0))


class InMemory:
    """A node's publisher whose steps a test takes, and all that it meets."""

    def __init__(
        self,
        inputs: PoolInputs | None = None,
        *,
        wait_seconds: float = WITHDRAW_SECONDS,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock, self.counted = Clock(), Counted()
        self.inputs = inputs or inputs_of(H100, Offer(whole=True))
        self.claims: set[str] = set()
        """Devices that claims hold, as the API knows it."""

        self.lists = 0
        """How often claims were listed."""

        self.on_list: Callable[[], None] = lambda: None
        """Called before claims are listed."""

        self.on_change = on_change
        self.store = Store(self._changed)
        self.pools: list[Published] = []
        self._wait_seconds = wait_seconds
        self.begin()

    def begin(self) -> None:
        """A new process, which knows nothing."""
        self.api = Api(self.store)
        self.publisher = Publisher(
            cast("KubeApi", self.api),
            NODE,
            inputs=lambda: self.inputs,
            owner=lambda: Owner(node_name=NODE, uid="node"),
            allocated=self._list,
            counter=self.counted,
            on_pool=lambda _, pool: self.pools.append(pool),
            on_features=lambda _owner, _before, _now: None,
            withdraw_seconds=self._wait_seconds,
            runtime=self.clock,
            watch=self._watch,
        )
        self.watch.start()

    def publish(self) -> float:
        """Tell of all changes, then step until the API server has the pool. Returns seconds until the next look."""
        for _ in range(TRIES):
            self.watch.deliver()
            before = len(self.pools)
            pause = self.publisher.step()
            if len(self.pools) > before:
                return pause
        raise AssertionError(f"nothing published in {TRIES} rounds")

    def pass_time(self, seconds: float) -> None:
        """Publish whenever the publisher wants to, and at the end."""
        end = self.clock.now + seconds
        while (pause := self.publish()) <= end - self.clock.now and pause > 0:
            self.clock.now += pause
        self.clock.now = end
        self.publish()

    def devices(self) -> dict[str, Device]:
        return {device.name: device for entry in self.store.slices.values() for device in entry.spec.devices}

    def wipe(self, *, every: bool = True) -> None:
        """What a kubelet does at its start, or the first half of it."""
        for name in sorted(self.store.slices)[0 if every else -1 :]:
            self.store.drop_slice(name)

    def _list(self) -> frozenset[str]:
        self.lists += 1
        self.on_list()
        self.api.disturb()
        return frozenset(self.claims)

    def _watch(self, _api: KubeApi, _node: str, seen: Listener) -> Watch:
        self.watch = Watch(self.store.slices, seen)
        return self.watch

    def _changed(self, old: ResourceSlice | None, new: ResourceSlice | None) -> None:
        if self.watch.synced:
            self.watch.untold.append((old, new))
        self.on_change()
