"""Makes and validates what pods are about to be bound to, and tells kube-scheduler how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from partita_driver.api.claim_status import ahead_status
from partita_driver.binding.answers import write_answer
from partita_driver.binding.asked import failed_status, is_asked, once_each, own_results
from partita_driver.binding.queue import DueQueue
from partita_driver.binding.watch import ClaimWatch, Watch, WatchClaims, watch_claims
from partita_driver.kubelet.claims import ClaimCounter, Prepared, result_of
from partita_driver.loop import Loop
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.errors import PartitaError, Retryable, ValidationFailed
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.reflector import Listener
from partita_plugins.pauses import Backoff, Pause
from partita_plugins.wire import pool_name
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, ResourceClaim

log = structlog.get_logger(__name__)

WORKERS = 8
"""Claims served side by side: as many as a node usually has GPUs."""

AGAIN = Pause(0.2, 5.0)
"""After a try that failed for now. kube-scheduler looks every 5 s."""

GIVE_UP_SECONDS = 120.0
"""From the first try until another node is better. kube-scheduler itself waits for 600 s (its bindingTimeout)."""

STOP_SECONDS = 0.5
"""Longest wait at the end: the kubelet's grace is for the claims of pods that are bound."""

PLACED_ELSEWHERE = "kube-scheduler takes other devices for the pod"


class Engine(Protocol):
    """What this module needs of the claim engine."""

    def prepare_ahead(self, claim: ResourceClaim) -> Sequence[Prepared]: ...
    def undo_ahead(self, claim_uid: str) -> None: ...


class Outcomes(Protocol):
    """Who tells of broken devices. Does not block."""

    def validation_failed(self, claim: ResourceClaim, error: ValidationFailed) -> None: ...


class BeforeBind:
    """Serves the claims that kube-scheduler waits for. Calls of `step` are for one worker each."""

    longest_stop_seconds = STOP_SECONDS

    def __init__(
        self,
        api: KubeApi,
        node_name: str,
        *,
        engine: Engine,
        outcomes: Outcomes,
        counter: ClaimCounter,
        tainted: Callable[[], bool],
        give_up_seconds: float = GIVE_UP_SECONDS,
        watch: WatchClaims = watch_claims,
        runtime: Runtime = THREADS,
    ) -> None:
        """`tainted` publishes what is quarantined: True when the API server has it, False where that takes too long.

        Only then is a failure told, or kube-scheduler would take the same device again.
        """
        self._api, self._pool, self._runtime = api, pool_name(node_name), runtime
        self._engine, self._outcomes, self._counter, self._tainted = engine, outcomes, counter, tainted
        self._give_up_seconds = give_up_seconds
        self._claims: dict[str, ResourceClaim] = {}
        self._tries: dict[str, tuple[float, Backoff]] = {}
        self._queue = DueQueue(runtime)
        self._working = False
        self._begin = watch
        self.watch = ClaimWatch(self._begin_watch, self.seen, lambda: not self.waiting, runtime=runtime)
        self.workers = tuple(Loop(f"bind-{number}", self.step, runtime) for number in range(WORKERS))

    def start(self) -> None:
        """Begin; workers start with the first watch, which most nodes never have."""
        self.watch.start()

    def stop(self) -> None:
        """Take no further claim. What is ready stays so for the next process."""
        loops = (self.watch.loop, *self.workers)
        for loop in loops:
            loop.stop(0.0)
        end = self._runtime.monotonic() + self.longest_stop_seconds
        for loop in loops:
            loop.stop(max(0.0, end - self._runtime.monotonic()))
        self.watch.stop()

    def published(self, *, binding: bool) -> None:
        """Slices of the node have conditions, or had until now; or they have none."""
        self.watch.published(binding=binding)

    @property
    def waiting(self) -> tuple[str, ...]:
        """UIDs of claims that kube-scheduler waits for."""
        return tuple(uid for uid, claim in list(self._claims.items()) if is_asked(claim, self._pool))

    def seen(self, old: ResourceClaim | None, new: ResourceClaim | None) -> None:
        """A claim of the pool has changed; None: it is gone, or holds nothing of the pool any more."""
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._claims.pop(old.metadata.uid, None)
            self._queue.put(old.metadata.uid)
        if new is not None:
            self._claims[new.metadata.uid] = new
            if old is None or old.status != new.status:
                self._queue.put(new.metadata.uid)
        for worker in self.workers:
            worker.wake()

    def step(self) -> float:
        """Serve one claim. Returns seconds until the next turn."""
        uid = self._queue.take()
        if uid is None:
            return self._queue.due_seconds
        try:
            self._serve(uid)
        except PartitaError as error:
            pause = self._trying(uid)[1].next_seconds(error)
            log.warning("tried again before the bind", claim=uid, error=str(error), retry_seconds=round(pause, 1))
            self._queue.put(uid, pause)
        except Exception:
            self._queue.put(uid, AGAIN.longest_seconds)
            raise
        finally:
            self._queue.done(uid)
        return 0.0

    def _begin_watch(self, seen: Listener[ResourceClaim]) -> Watch:
        # What an earlier watch has seen may be gone since; upkeep takes back what was made for it.
        self._claims.clear()
        if not self._working:
            self._working = True
            for worker in self.workers:
                worker.start()
        return self._begin(self._api, self._pool, seen)

    def _serve(self, uid: str) -> None:
        """Raises Retryable, to be called again."""
        claim = self._claims.get(uid)
        if claim is None:
            self._engine.undo_ahead(uid)
        elif is_asked(claim, self._pool):
            self._answer(claim)
        self._tries.pop(uid, None)

    def _answer(self, claim: ResourceClaim) -> None:
        began, uid, result = self._runtime.monotonic(), claim.metadata.uid, "ok"
        try:
            devices = self._engine.prepare_ahead(claim)
            results = own_results(claim, self._pool)
            entries = once_each([ahead_status(device, results) for device in devices])
        except PartitaError as error:
            result = result_of(error)
            entries = self._failure(claim, error)
        finally:
            self._counter.claim_done("bind", result, self._runtime.monotonic() - began)
        if not write_answer(self._api, claim, entries):
            log.info("nobody waits for the claim any more", claim=uid)
            self._engine.undo_ahead(uid)

    def _failure(self, claim: ResourceClaim, error: PartitaError) -> tuple[AllocatedDeviceStatus, ...]:
        """What is told where a pod cannot come here. Raises Retryable while it still may, or nobody may be told yet."""
        uid = claim.metadata.uid
        if isinstance(error, Retryable):
            if self._runtime.monotonic() - self._trying(uid)[0] < self._give_up_seconds:
                raise error
            self._engine.undo_ahead(uid)
        if isinstance(error, ValidationFailed):
            self._outcomes.validation_failed(claim, ValidationFailed(error.finding, advice=PLACED_ELSEWHERE))
        if not self._tainted():
            raise Retryable("the taint of what failed is not published yet")
        log.warning("not usable for the pod", claim=uid, error=str(error))
        return failed_status(claim, self._pool, error)

    def _trying(self, uid: str) -> tuple[float, Backoff]:
        """Since when a claim is tried, and its pauses."""
        fresh = self._runtime.monotonic(), Backoff(AGAIN, self._runtime.random)
        return self._tries.setdefault(uid, fresh)
