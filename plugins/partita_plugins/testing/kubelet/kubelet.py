"""The kubelet's loop: drivers, then pods."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from partita_plugins.testing.apiserver.errors import ApiError
from partita_plugins.testing.kubeapi import Json, KubeApi
from partita_plugins.testing.kubelet.claims import NodeClaims
from partita_plugins.testing.kubelet.containers import finished_status
from partita_plugins.testing.kubelet.drivers import DriverInfo
from partita_plugins.testing.kubelet.health import DeviceHealth
from partita_plugins.testing.kubelet.node import register_node
from partita_plugins.testing.kubelet.pods import PodRunner, PodWork
from partita_plugins.testing.kubelet.registry import Registry
from partita_plugins.testing.kubelet.settings import KubeletSettings
from partita_plugins.testing.kubelet.views import ContainerView
from partita_plugins.testing.objects import name_of, namespace_of, uid_of
from partita_plugins.testing.running import Running

API_PAUSE_SECONDS = 1.0
"""Pause after the API server did not answer."""


class Kubelet(Running):
    """A kubelet for one pretended node. `with Kubelet(api, settings):` runs it; `step` alone looks once.

    Stopped and started again (also as a new object over the same root), it is a kubelet that restarted: pods go on
    running, slices are wiped, drivers register anew, and Prepare is replayed.
    """

    def __init__(self, api: KubeApi, settings: KubeletSettings) -> None:
        self.settings = settings
        self._api = api
        self._selector = f"spec.nodeName={settings.node_name}"
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._version = 0
        self._work: dict[str, PodWork] = {}
        self._open()

    @property
    def drivers(self) -> tuple[DriverInfo, ...]:
        """The drivers that are registered and connected."""
        return self._registry.drivers()

    @property
    def health(self) -> tuple[DeviceHealth, ...]:
        """The latest report about each device, of all drivers."""
        return tuple(report for watch in self._registry.health() for report in watch.reports)

    def views(self, pod: str, namespace: str = "default") -> dict[str, ContainerView]:
        """What a running pod's containers were given, by container; empty where it does not run."""
        for work in list(self._work.values()):
            if (namespace_of(work.pod), name_of(work.pod)) == (namespace, pod):
                return dict(work.views)
        return {}

    def finish_pod(self, pod: str, namespace: str = "default", *, exit_code: int = 0) -> None:
        """Let a pod's containers end of themselves."""
        found = self._api.get("Pod", pod, namespace)
        status = finished_status(found, exit_code)
        self._api.patch("Pod", pod, {"status": status}, namespace, subresource="status")

    def join_cluster(self) -> None:
        """What a kubelet does first: its Node, and no slices from before."""
        register_node(self._api, self.settings)
        self._api.delete_all("ResourceSlice", field_selector=self._selector)

    def step(self) -> int:
        """Look at sockets and pods once, and do what is due. How many pods were worked on."""
        self._registry.step()
        listing = self._api.list("Pod", field_selector=self._selector)
        self._version = listing.resource_version
        self._take_in(listing.items)
        now = time.monotonic()
        due = [work for work in self._work.values() if work.needs_work(now)]
        for work in due:
            work.busy = True
            if self._executor is None:
                self._runner.advance(work)
            else:
                self._executor.submit(self._runner.advance, work)
        self._work = {uid: work for uid, work in self._work.items() if not (work.gone and work.released)}
        return len(due)

    def start(self) -> Self:
        """Join the cluster and run until `stop`."""
        self._ended.clear()
        self.join_cluster()
        if self.settings.parallel_pods:
            name = f"kubelet-{self.settings.node_name}"
            self._executor = ThreadPoolExecutor(self.settings.parallel_pods, thread_name_prefix=name)
        self._thread = threading.Thread(target=self._run, name=f"kubelet-{self.settings.node_name}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop as a kubelet does: its pods go on, nothing is unprepared."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._registry.close()  # first: it ends calls that still run
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def restart(self) -> None:
        """Stop, forget everything that is not on disk, start."""
        self.stop()
        self._open()
        self.start()

    def _open(self) -> None:
        self.settings.prepare_directories()
        self._work = {}
        self._registry = Registry(self._api, self.settings)
        self._claims = NodeClaims(self._api, self._registry, self.settings.checkpoint)
        self._runner = PodRunner(self._api, self._claims, self.settings)

    def _take_in(self, pods: Iterable[Json]) -> None:
        """What the API shows now; pods that are only remembered are gone and give back what they hold."""
        seen = {uid_of(pod): pod for pod in pods}
        for uid, pod in seen.items():
            work = self._work.setdefault(uid, PodWork(pod=pod))
            if not work.gone:
                work.pod = pod
        for uid in self._claims.pods() - self._work.keys():
            nobody = {"metadata": {"uid": uid, "name": "", "namespace": ""}, "spec": {}}
            self._work[uid] = PodWork(pod=nobody)
        for uid, work in self._work.items():
            work.gone = work.gone or uid not in seen

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.step()
                self._wait()
            except (ApiError, OSError):
                self._ended.wait(API_PAUSE_SECONDS)

    def _wait(self) -> None:
        """Until a pod changes, or it is time to look at the sockets and at what is due."""
        self._api.wait_for_change("Pod", self._version, self.settings.poll_seconds, field_selector=self._selector)
