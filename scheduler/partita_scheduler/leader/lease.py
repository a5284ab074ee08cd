"""The Lease as the API server keeps it."""

from __future__ import annotations

from typing import Any

import msgspec

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound
from partita_plugins.kube.resources import LEASES
from partita_plugins.wire.objects import ObjectMeta, Struct

LEASE_SECONDS = 15


class LeaseSpec(Struct, frozen=True, kw_only=True):
    """Who holds it, and since when."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Struct, frozen=True, kw_only=True):
    """coordination.k8s.io/v1 Lease."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()


class LeaseRecord:
    """One Lease, read and written. Raises as KubeApi does, and DecodeError for what is no Lease."""

    def __init__(self, api: KubeApi, *, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name

    def read(self) -> Lease | None:
        """None where there is none."""
        try:
            return self._api.get(LEASES, self._name, self._namespace, as_=Lease)
        except NotFound:
            return None

    def create(self, spec: LeaseSpec) -> None:
        self._api.create(LEASES, self._body(ObjectMeta(), spec), self._namespace)

    def replace(self, lease: Lease, spec: LeaseSpec) -> None:
        """With the resource version that was read: of two that write, the second gets a Conflict."""
        self._api.replace(LEASES, self._name, self._body(lease.metadata, spec), self._namespace)

    def _body(self, metadata: ObjectMeta, spec: LeaseSpec) -> dict[str, Any]:
        return {
            "apiVersion": LEASES.group_version,
            "kind": "Lease",
            "metadata": msgspec.structs.replace(metadata, name=self._name, namespace=self._namespace),
            "spec": spec,
        }
