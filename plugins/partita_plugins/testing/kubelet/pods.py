"""One pod on the node: started when its claims are prepared, ended when they are given back, with pauses in between."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from partita_plugins.testing.apiserver.errors import ApiError
from partita_plugins.testing.kubeapi import Json, KubeApi
from partita_plugins.testing.kubelet.cdi import CdiError, CdiFolder
from partita_plugins.testing.kubelet.claims import NodeClaims
from partita_plugins.testing.kubelet.containers import running_status, view_containers, waiting_status
from partita_plugins.testing.kubelet.drivers import CallFailed
from partita_plugins.testing.kubelet.settings import KubeletSettings
from partita_plugins.testing.kubelet.views import ContainerView
from partita_plugins.testing.objects import is_deleting, is_finished, name_of, namespace_of, uid_of
from partita_plugins.testing.recording import record_event

COMPONENT = "kubelet"


@dataclass(slots=True, kw_only=True)
class PodWork:
    """What the kubelet knows about one pod."""

    pod: Json
    """As last seen in the API."""
    views: dict[str, ContainerView] = field(default_factory=dict)
    """What its containers were given; empty until they start."""
    running: bool = False
    released: bool = False
    """Whether its claims have been given back."""
    failures: int = 0
    due_at: float = 0.0
    busy: bool = False
    gone: bool = False
    """Whether it is no longer in the API."""

    @property
    def must_end(self) -> bool:
        return self.gone or is_deleting(self.pod) or is_finished(self.pod)

    def needs_work(self, now: float) -> bool:
        if self.busy or now < self.due_at:
            return False
        if self.must_end:
            return not self.released or is_deleting(self.pod)
        return not self.running


class PodRunner:
    """Takes one pod one step further; called from several threads, for different pods."""

    def __init__(self, api: KubeApi, claims: NodeClaims, settings: KubeletSettings) -> None:
        self._api, self._claims, self._settings = api, claims, settings
        self._cdi = CdiFolder(settings.cdi)

    def advance(self, work: PodWork) -> None:
        """Start it or end it; a failure sets the time of the next try."""
        try:
            if work.must_end:
                self._end(work)
            else:
                self._start(work)
            work.failures = 0
        except (ApiError, OSError):
            self._try_later(work)  # the API server is away or the pod has changed: the next look decides
        finally:
            work.busy = False

    def _start(self, work: PodWork) -> None:
        pod = work.pod
        try:
            prepared = self._claims.prepare(pod)
        except (CallFailed, ApiError) as error:
            text = error.message if isinstance(error, ApiError) else str(error)
            message = f"Failed to prepare dynamic resources: prepare dynamic resources: {text}"
            self._refuse(work, "FailedPrepareDynamicResources", message)
            return
        try:
            views = view_containers(pod, prepared, self._cdi)
        except CdiError as error:
            self._refuse(work, "Failed", f"Error: failed to create containerd task: {error}", "CreateContainerError")
            return
        work.views = views  # whoever reads that the pod runs may ask for them
        if (pod.get("status") or {}).get("phase") != "Running":  # a kubelet that restarts finds it running
            self._set_status(pod, running_status(pod))
        work.running = True

    def _end(self, work: PodWork) -> None:
        work.views, work.running = {}, False
        if not work.released:
            try:
                self._claims.unprepare(uid_of(work.pod))
            except CallFailed as error:
                message = f"Failed to unprepare dynamic resources: unprepare dynamic resources: {error}"
                self._event(work.pod, "FailedUnprepareDynamicResources", message)
                self._try_later(work)
                return
            work.released = True
        if is_deleting(work.pod) and not work.gone:
            self._delete(work)

    def _delete(self, work: PodWork) -> None:
        pod = work.pod
        try:
            self._api.delete("Pod", name_of(pod), namespace_of(pod), grace_seconds=0, uid=uid_of(pod))
        except ApiError as error:
            if error.code not in (404, 409):
                raise
        work.gone = True

    def _refuse(self, work: PodWork, reason: str, message: str, waiting: str = "ContainerCreating") -> None:
        self._event(work.pod, reason, message)
        if (work.pod.get("status") or {}).get("phase") != "Running":
            self._set_status(work.pod, waiting_status(work.pod, waiting, ""))
        self._try_later(work)

    def _set_status(self, pod: Json, status: Json) -> None:
        wanted = {"metadata": {"uid": uid_of(pod)}, "status": status}
        self._api.patch("Pod", name_of(pod), wanted, namespace_of(pod), subresource="status")

    def _event(self, pod: Json, reason: str, message: str) -> None:
        record_event(self._api, pod, reason=reason, message=message, component=COMPONENT, host=self._settings.node_name)

    def _try_later(self, work: PodWork) -> None:
        work.failures += 1
        pause = self._settings.retry_seconds * 2 ** min(work.failures - 1, 16)
        work.due_at = time.monotonic() + min(pause, self._settings.retry_seconds_max)
