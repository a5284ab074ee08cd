"""The table of what the API server stores. A new resource is one more row, not a branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

FieldPaths = Mapping[str, tuple[str, ...]]

_NO_FIELDS: FieldPaths = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of object and how it is addressed."""

    group: str
    """API group; empty for core."""

    version: str
    """The only version served."""

    plural: str
    """Its name in URLs."""

    kind: str
    """Its name in objects."""

    namespaced: bool = True
    """Whether its names are per namespace."""

    short_names: tuple[str, ...] = ()
    """What kubectl calls it."""

    subresources: tuple[str, ...] = ()
    """Parts that have a URL of their own."""

    fields: FieldPaths = field(default_factory=dict)
    """Field selectors beside metadata.name and metadata.namespace, and where each is found."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Its name in messages, as Kubernetes writes it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage(self) -> str:
        """Where its objects lie. Both groups' events are the same objects, as in Kubernetes."""
        return "events" if self.plural == "events" else self.qualified

    def field_paths(self) -> FieldPaths:
        named = {"metadata.name": ("metadata", "name")}
        if self.namespaced:
            named["metadata.namespace"] = ("metadata", "namespace")
        return {**named, **self.fields}


def _paths(*dotted: str) -> FieldPaths:
    return MappingProxyType({path: tuple(path.split(".")) for path in dotted})


_EVENT_FIELDS = _paths(
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "reason",
    "type",
    "reportingComponent",
)
_REGARDING_FIELDS = {
    path.replace("involvedObject", "regarding").replace("Component", "Controller"): where
    for path, where in _EVENT_FIELDS.items()
}
_POD_FIELDS = _paths("spec.nodeName", "spec.schedulerName", "spec.restartPolicy", "status.phase")
_SLICE_FIELDS = _paths("spec.nodeName", "spec.driver", "spec.pool.name")
_DRA = "resource.k8s.io"
_RBAC = "rbac.authorization.k8s.io"


def _core(plural: str, kind: str, *short: str, subresources: tuple[str, ...] = (), **more: object) -> Resource:
    return Resource(
        group="",
        version="v1",
        plural=plural,
        kind=kind,
        short_names=short,
        subresources=subresources,
        namespaced=bool(more.get("namespaced", True)),
        fields=_fields(more),
    )


def _in(group: str, version: str, plural: str, kind: str, *subresources: str, **more: object) -> Resource:
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        subresources=subresources,
        namespaced=bool(more.get("namespaced", True)),
        fields=_fields(more),
    )


def _fields(more: Mapping[str, object]) -> FieldPaths:
    found = more.get("fields", _NO_FIELDS)
    return MappingProxyType(dict(found)) if isinstance(found, Mapping) else _NO_FIELDS


RESOURCES: tuple[Resource, ...] = (
    _core("pods", "Pod", "po", subresources=("status", "binding", "eviction"), fields=_POD_FIELDS),
    _core("nodes", "Node", "no", subresources=("status",), namespaced=False),
    _core("namespaces", "Namespace", "ns", subresources=("status", "finalize"), namespaced=False),
    _core("events", "Event", "ev", fields=_EVENT_FIELDS),
    _core("configmaps", "ConfigMap", "cm"),
    _core("secrets", "Secret", fields=_paths("type")),
    _core("serviceaccounts", "ServiceAccount", "sa"),
    _core("services", "Service", "svc", subresources=("status",)),
    _in("events.k8s.io", "v1", "events", "Event", fields=_REGARDING_FIELDS),
    _in(_DRA, "v1", "resourceslices", "ResourceSlice", namespaced=False, fields=_SLICE_FIELDS),
    _in(_DRA, "v1", "resourceclaims", "ResourceClaim", "status"),
    _in(_DRA, "v1", "resourceclaimtemplates", "ResourceClaimTemplate"),
    _in(_DRA, "v1", "deviceclasses", "DeviceClass", namespaced=False),
    _in(_DRA, "v1", "devicetaintrules", "DeviceTaintRule", "status", namespaced=False),
    _in("coordination.k8s.io", "v1", "leases", "Lease"),
    _in("apps", "v1", "deployments", "Deployment", "status"),
    _in("apps", "v1", "replicasets", "ReplicaSet", "status"),
    _in("apps", "v1", "daemonsets", "DaemonSet", "status"),
    _in("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", "status"),
    _in(_RBAC, "v1", "roles", "Role"),
    _in(_RBAC, "v1", "rolebindings", "RoleBinding"),
    _in(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
    _in(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
)

BY_PATH: Mapping[tuple[str, str, str], Resource] = {(row.group, row.version, row.plural): row for row in RESOURCES}
BY_KIND: Mapping[tuple[str, str], Resource] = {(row.api_version, row.kind): row for row in RESOURCES}


def find(name: str) -> Resource:
    """The resource called so: a kind, a plural, or `plural.group`; of several, the first in the table."""
    for row in RESOURCES:
        if name in (row.kind, row.plural, row.qualified):
            return row
    known = ", ".join(sorted({row.kind for row in RESOURCES}))
    raise LookupError(f"no resource is called {name!r}; the embedded API server stores {known}")
