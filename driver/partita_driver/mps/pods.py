"""MPS daemons as pods of the driver's namespace on this node: they outlive the driver's own pod."""

from __future__ import annotations

from pathlib import Path

import msgspec

from partita_driver.mps.control import find_root, tell
from partita_driver.mps.daemons import CLAIM_LABEL, MpsDaemon
from partita_driver.mps.manifest import NAME, NAME_LABEL, Image, pod, pod_name
from partita_plugins.errors import Permanent, Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import ApiError, Conflict, NotFound
from partita_plugins.kube.resources import PODS
from partita_plugins.wire.objects import ObjectMeta, Struct


class _Waiting(Struct, frozen=True, kw_only=True):
    reason: str = ""


class _ContainerState(Struct, frozen=True, kw_only=True):
    waiting: _Waiting | None = None


class _ContainerStatus(Struct, frozen=True, kw_only=True):
    state: _ContainerState = _ContainerState()


class _Status(Struct, frozen=True, kw_only=True):
    phase: str = "Pending"
    container_statuses: list[_ContainerStatus] = msgspec.field(default_factory=list)

    @property
    def words(self) -> str:
        """ "ImagePullBackOff", "Running"."""
        waiting = [one.state.waiting.reason for one in self.container_statuses if one.state.waiting]
        return next(iter(waiting), self.phase)


class _Meta(Struct, frozen=True, kw_only=True):
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    deletion_timestamp: str | None = None


class _Pod(Struct, frozen=True, kw_only=True):
    metadata: _Meta
    status: _Status = _Status()


class _Container(Struct, frozen=True, kw_only=True):
    image: str
    image_pull_policy: str = "IfNotPresent"


class _Spec(Struct, frozen=True, kw_only=True):
    containers: list[_Container]
    image_pull_secrets: list[ObjectMeta] = msgspec.field(default_factory=list)


class _OwnPod(Struct, frozen=True, kw_only=True):
    spec: _Spec


ENDED = frozenset({"Failed", "Succeeded"})
"""Phases in which a pod that restarts its containers stays after an eviction: it never runs again."""


class MpsPods:
    """MpsDaemons: a pod each, bound to this node from the start. Thread-safe."""

    def __init__(
        self,
        api: KubeApi,
        *,
        node_name: str,
        namespace: str,
        own_pod: str,
        host_root: Path = Path("/"),
        driver_root: Path = Path("/"),
    ) -> None:
        """`own_pod` is the name of the driver's pod, whose image the daemons' pods run in too."""
        self._api, self._node_name, self._namespace, self._own_pod = api, node_name, namespace, own_pod
        self._host_root, self._driver_root = host_root, driver_root
        self._image: Image | None = None

    def start(self, daemon: MpsDaemon) -> str:
        """Make the daemon's pod where it is not there. Raises Permanent where this node cannot have one.

        Raises Retryable while one from before is in its place.
        """
        root = find_root(self._host_root, self._driver_root)
        found = self._read(daemon.claim_uid)
        if found is None:
            made = pod(daemon, node_name=self._node_name, image=self._own_image(), driver_root=root.on_node)
            try:
                raw = self._api.create(PODS, made, self._namespace)
            except Conflict as error:
                raise Retryable(f"the MPS daemon's pod was there and is not: {error}") from error
            found = msgspec.json.decode(raw, type=_Pod)
        if found.status.phase in ENDED:
            self.stop(daemon.claim_uid)
        if found.metadata.deletion_timestamp or found.status.phase in ENDED:
            raise Retryable(f"pod {pod_name(daemon.claim_uid)} is still ending", delay_seconds=2.0)
        return found.status.words

    def limit(self, daemon: MpsDaemon) -> bool:
        """Through the node's own program, on the daemon's pipe."""
        return tell(find_root(self._host_root, self._driver_root).program, daemon)

    def stop(self, claim_uid: str) -> bool:
        """Delete the pod. True once it is gone; the kubelet sees that its processes ended first."""
        try:
            found = self._read(claim_uid)
            if found is not None and not found.metadata.deletion_timestamp:
                self._api.delete(PODS, pod_name(claim_uid), self._namespace)
        except ApiError as error:
            raise Retryable(f"the MPS daemon of claim {claim_uid} cannot be ended: {error}") from error
        return found is None

    def running(self) -> frozenset[str]:
        """By the pods of this node, also those that do not run yet or are ending."""
        found, _ = self._api.list(
            PODS,
            self._namespace,
            as_=_Pod,
            labelSelector=f"{NAME_LABEL}={NAME}",
            fieldSelector=f"spec.nodeName={self._node_name}",
        )
        return frozenset(one.metadata.labels[CLAIM_LABEL] for one in found if CLAIM_LABEL in one.metadata.labels)

    def _read(self, claim_uid: str) -> _Pod | None:
        try:
            return self._api.get(PODS, pod_name(claim_uid), self._namespace, as_=_Pod)
        except NotFound:
            return None

    def _own_image(self) -> Image:
        if self._image is None:
            if not self._own_pod:
                raise Permanent(
                    "MPS daemons run as pods, and this driver is none", advice="give --pod-name, or run it as a pod"
                )
            spec = self._api.get(PODS, self._own_pod, self._namespace, as_=_OwnPod).spec
            self._image = Image(
                name=spec.containers[0].image,
                pull_policy=spec.containers[0].image_pull_policy,
                pull_secrets=tuple(one.name for one in spec.image_pull_secrets),
            )
        return self._image
