"""Which resources Partita talks about, and their URL paths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of API object: where its URLs are."""

    group_version: str
    """"v1" for the core group, else "resource.k8s.io/v1"."""

    plural: str
    namespaced: bool

    def path(self, name: str = "", namespace: str = "", subresource: str = "") -> str:
        """URL path of the collection, of one object, or of a part of it."""
        root = "api" if "/" not in self.group_version else "apis"
        parts = [root, self.group_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(parts)


NODES = Resource("v1", "nodes", namespaced=False)
PODS = Resource("v1", "pods", namespaced=True)
CONFIG_MAPS = Resource("v1", "configmaps", namespaced=True)
EVENTS = Resource("v1", "events", namespaced=True)
LEASES = Resource("coordination.k8s.io/v1", "leases", namespaced=True)
RESOURCE_SLICES = Resource("resource.k8s.io/v1", "resourceslices", namespaced=False)
RESOURCE_CLAIMS = Resource("resource.k8s.io/v1", "resourceclaims", namespaced=True)
DEVICE_CLASSES = Resource("resource.k8s.io/v1", "deviceclasses", namespaced=False)
DEVICE_TAINT_RULES = (
    Resource("resource.k8s.io/v1", "devicetaintrules", namespaced=False),
    Resource("resource.k8s.io/v1beta2", "devicetaintrules", namespaced=False),
)
"""The same objects: from 1.37 on, and in 1.36 where v1beta2 is served. Without either there are none."""
