"""The loop that runs the controllers when something has changed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Self

from partita_plugins.testing.apiserver import ApiError, LocalApi
from partita_plugins.testing.controllers.claims import make_claims, release_claims
from partita_plugins.testing.controllers.garbage import collect_garbage, end_namespaces
from partita_plugins.testing.controllers.taints import evict_from_tainted_devices
from partita_plugins.testing.controllers.workloads import run_daemonsets, run_deployments, run_replicasets
from partita_plugins.testing.running import Running

Controller = Callable[[LocalApi], None]

CONTROLLERS: tuple[Controller, ...] = (
    run_deployments,
    run_replicasets,
    run_daemonsets,
    make_claims,
    evict_from_tainted_devices,
    release_claims,
    collect_garbage,
    end_namespaces,
)

IDLE_SECONDS = 1.0
"""The controllers look again at least so often, for what depends on time alone."""

SETTLE_STEPS_MAX = 50
REFUSALS_KEPT = 100


class Controllers(Running):
    """Runs the controllers. `with Controllers(server):` does so in a thread; `step` and `settle` do so at once."""

    def __init__(self, api: LocalApi, controllers: tuple[Controller, ...] = CONTROLLERS) -> None:
        self._api = api
        self._controllers = controllers
        self.refusals: deque[str] = deque(maxlen=REFUSALS_KEPT)
        """The latest refusals by the API server; conflicts among them are normal."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def step(self) -> None:
        """Every controller looks once. What somebody else changed meanwhile is left to the next step."""
        for controller in self._controllers:
            try:
                controller(self._api)
            except ApiError as error:
                self.refusals.append(f"{controller.__name__}: {error}")

    def settle(self) -> None:
        """Step until nothing changes any more."""
        for _ in range(SETTLE_STEPS_MAX):
            before = self._api.store.revision
            self.step()
            if self._api.store.revision == before:
                return
        raise RuntimeError(f"the controllers still change things after {SETTLE_STEPS_MAX} steps; two of them disagree")

    def start(self) -> Self:
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, name="controllers", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._ended.is_set():
            before = self._api.store.revision
            self.step()
            self._wait(before)

    def _wait(self, version: int) -> None:
        """Until something changes; in slices, so that stopping takes no second."""
        for _ in range(int(IDLE_SECONDS / 0.1)):
            if self._ended.is_set() or self._api.store.wait(None, version, 0.1):
                return
