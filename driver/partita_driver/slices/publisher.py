"""Keeps the node's ResourceSlices as they should be: level-triggered, one writer, nothing written without need."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog

from partita_driver.fault_points import reached
from partita_driver.loop import Loop
from partita_driver.runtime import THREADS, Runtime
from partita_driver.slices.contents import Features
from partita_driver.slices.feature_probe import PROBE_SECONDS, KeptFields
from partita_driver.slices.mirror import SliceMirror, SliceWatch, complete, published, watch_slices
from partita_driver.slices.plan import Owner
from partita_driver.slices.pool import PoolInputs, Published, desired_pool
from partita_driver.slices.withdrawals import Withdrawals
from partita_driver.slices.writer import SliceWriter
from partita_plugins.errors import Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import ApiError, Conflict, NotFound
from partita_plugins.kube.reflector import Listener
from partita_plugins.pauses import Backoff, Pause
from partita_plugins.wire.resource_slice import ResourceSlice

log = structlog.get_logger(__name__)

RETRY = Pause(0.05, 30.0)
"""After a write that failed."""

RESYNC_SECONDS = 300.0
"""The watch tells of every change; this is for what nobody thought of."""

INPUTS_PAUSE_SECONDS = 0.1
"""While settings or the API server have not been read yet."""

LOOK_SECONDS_MIN = 0.1
"""Between looks: a moment that was computed and one that was waited for may differ in the last bit."""

GATHER_SECONDS = 0.1
"""Slices are deleted one by one: they are put back together."""

WITHDRAW_SECONDS = 30.0
"""From the taint that keeps new claims away to the device's removal: allocations decided before it are visible then."""

MAX_LOGGED = 500
"""Characters of an error: a refusal names every field of every device."""


class PublishCounter(Protocol):
    """Who counts rounds of writing, by result."""

    def published(self, result: str) -> None: ...


class Publisher:
    """Publishes one node's pool. `step` may be called alone; start() lets a thread call it."""

    longest_stop_seconds = Loop.longest_stop_seconds

    def __init__(
        self,
        api: KubeApi,
        node_name: str,
        *,
        inputs: Callable[[], PoolInputs | None],
        owner: Callable[[], Owner | None],
        allocated: Callable[[], frozenset[str]],
        counter: PublishCounter,
        on_pool: Callable[[PoolInputs, Published], None],
        on_features: Callable[[Owner, Features, Features], None],
        withdraw_seconds: float = WITHDRAW_SECONDS,
        probe_seconds: float = PROBE_SECONDS,
        runtime: Runtime = THREADS,
        watch: Callable[[KubeApi, str, Listener[ResourceSlice]], SliceWatch] = watch_slices,
    ) -> None:
        """`inputs` and `owner` give None until they are known; `allocated` lists claims, and is rarely asked.

        `on_pool` hears of every pool that the API server has taken, `on_features` what it kept before and keeps now,
        whenever that changes or something is still missing at a look.
        """
        self._api, self._inputs, self._owner = api, inputs, owner
        self._counter, self._on_pool = counter, on_pool
        self._withdrawals = Withdrawals(allocated, withdraw_seconds, runtime)
        self.loop = Loop("publisher", self.step, runtime)
        self._mirror = SliceMirror(lambda: self.loop.wake(GATHER_SECONDS))
        self._watch = watch(api, node_name, self._mirror.seen)
        self._runtime = runtime
        self._done = runtime.condition()
        self._asked = self._answered = 0
        self._ready = False
        self._kept = KeptFields(api, on_features, probe_seconds, runtime)
        self._writer = SliceWriter(api, self._mirror, self._kept)
        self._last = Published()
        self._binding = False
        self._frozen, self._look_seconds = False, math.inf
        self._backoff = Backoff(RETRY, runtime.random)
        self._in_step = runtime.lock()

    def start(self) -> None:
        self._watch.start()
        self.loop.start()

    def stop(self) -> None:
        """End the loop. The slices stay: the kubelet or the Node's deletion removes them."""
        self._watch.stop()
        self.loop.stop()

    @property
    def ready(self) -> bool:
        """Has the API server ever had all that it should from this process?"""
        return self._ready

    @property
    def features(self) -> Features:
        """What the API server keeps."""
        return self._kept.features

    @property
    def binding(self) -> bool:
        """Whether slices have binding conditions, or had before the last round: claims may be allocated by those."""
        return self._binding

    def request(self) -> None:
        """Something changed: look soon."""
        self.loop.wake()

    def released(self) -> None:
        """A claim has given devices back: look soon if any is waited for."""
        if math.isfinite(self._look_seconds):
            self.loop.wake()

    def publish_now(self, deadline_seconds: float) -> bool:
        """Return when the API server has a pool decided after this call: True; or after the deadline: False."""
        with self._done:
            self._asked += 1
            ticket = self._asked
        self.loop.wake()
        with self._done:
            return self._done.wait_for(lambda: self._answered >= ticket, deadline_seconds)

    def step(self) -> float:
        """Compare and write. Returns seconds until the next look."""
        with self._in_step:
            ticket = self._asked
            if not self._watch.synced or (inputs := self._inputs()) is None or (owner := self._owner()) is None:
                return INPUTS_PAUSE_SECONDS
            pause = self._publish(replace(inputs, features=self._kept.look(owner)), owner)
            self._kept.tell(owner)
            if pause is not None:
                return pause
            self._backoff.reset()
            with self._done:
                self._answered, self._ready = ticket, self._ready or not self._frozen
                self._done.notify_all()
            return self._next_look()

    def _next_look(self) -> float:
        due = min(RESYNC_SECONDS, self._look_seconds, self._kept.due_seconds, self._withdrawals.due_seconds)
        return max(LOOK_SECONDS_MIN, due)

    def _publish(self, inputs: PoolInputs, owner: Owner) -> float | None:
        """None when the API server has the pool, else seconds until the next try."""
        current = self._mirror.snapshot()
        # After a kubelet restart slices are gone, all or some: what they said stands in memory.
        before = self._last.updated(published(current))
        try:
            standing = self._withdrawals.settle(inputs, before)
            self._look_seconds, self._frozen = standing.look_seconds, standing.frozen
            if standing.frozen and not self._last.devices:
                # What was wiped may be held: without it the rest must not become a pool that is allocated from.
                if not complete(current):
                    self._counter.published("error")
                    return self._withdrawals.due_seconds
                self._last = before
            contents = desired_pool(standing.inputs, before, standing.held, frozen=standing.frozen)
            written = self._writer.writes
            there = self._writer.write(current, contents, owner)
        except (ApiError, Retryable) as error:
            return self._failed(error)
        if writes := self._writer.writes - written:
            self._counter.published("ok")
            log.info("slices published", generation=self._writer.generation, writes=writes)
        # Not what the mirror has now: slices that were wiped meanwhile stand in memory too.
        self._last = published(there)
        self._binding = before.binding or self._last.binding
        self._withdrawals.published()
        reached("slices-published")
        self._on_pool(inputs, self._last)
        return None

    def _failed(self, error: Exception) -> float:
        pause = self._backoff.next_seconds(error)
        self._counter.published("conflict" if isinstance(error, Conflict | NotFound) else "error")
        log.warning("slices not published yet", error=str(error)[:MAX_LOGGED], retry_seconds=pause)
        return pause
