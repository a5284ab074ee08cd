"""What kube-scheduler writes into claims, beyond the devices: node, configuration, the claim it makes itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec

from partita_plugins.testing.kubeapi import Json, KubeApi
from partita_plugins.testing.objects import name_of, namespace_of, owner_reference
from partita_plugins.wire.resource_claim import (
    Allocation,
    AllocationResult,
    DeviceAllocation,
    DeviceClass,
    DeviceConfig,
    ResourceClaim,
)
from partita_scheduler.allocator.in_use import EXTENDED_CLAIM_ANNOTATION
from partita_scheduler.policy.extended import classes_by_resource


def decoded(obj: Json, as_: type[Any]) -> Any:
    """An API object as a value."""
    return msgspec.json.decode(msgspec.json.encode(obj), type=as_)


def written(allocation: Allocation, claim: ResourceClaim, classes: Mapping[str, DeviceClass], node: str) -> Json:
    """An allocation as status.allocation: with the node it is bound to, and configuration of classes and claim."""
    results = [_shared(result) for result in allocation.devices.results]
    devices = DeviceAllocation(results=results, config=_configs(allocation, claim, classes))
    full = msgspec.structs.replace(
        allocation,
        devices=devices,
        node_selector=allocation.node_selector or _only(node),
    )
    found: Json = msgspec.json.decode(msgspec.json.encode(full))
    return found


def make_extended_claim(api: KubeApi, pod: Json, allocation: Allocation, classes: Mapping[str, DeviceClass]) -> Json:
    """The claim for a pod's plain extended resources, and its mapping in the pod's status.

    Requests are named "container-0-request-0": the place of the container (init containers first), and of the
    resource among all that the container asks for.
    """
    counts = Counter(result.request for result in allocation.devices.results)
    served = classes_by_resource(classes)
    requests, mappings = [], []
    for index, container in enumerate([*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]):
        for place, resource in enumerate(_asked(container)):
            name = f"container-{index}-request-{place}"
            if count := counts.get(name):
                exactly = {"deviceClassName": served[resource].metadata.name, "count": count}
                requests.append({"name": name, "exactly": exactly})
                mappings.append({"containerName": container["name"], "resourceName": resource, "requestName": name})
    claim = api.create(_extended(pod, requests))
    status = {"extendedResourceClaimStatus": {"resourceClaimName": name_of(claim), "requestMappings": mappings}}
    api.patch("Pod", name_of(pod), {"status": status}, namespace_of(pod), subresource="status")
    return claim


def _asked(container: Json) -> list[str]:
    resources = container.get("resources") or {}
    return sorted({*(resources.get("requests") or {}), *(resources.get("limits") or {})})


def _extended(pod: Json, requests: list[Json]) -> Json:
    metadata = {
        "generateName": f"{name_of(pod)}-extended-resources-",
        "namespace": namespace_of(pod),
        "annotations": {EXTENDED_CLAIM_ANNOTATION: "true"},
        "ownerReferences": [owner_reference({"apiVersion": "v1", "kind": "Pod", **pod})],
    }
    spec = {"devices": {"requests": requests}}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata, "spec": spec}


def _configs(allocation: Allocation, claim: ResourceClaim, classes: Mapping[str, DeviceClass]) -> list[DeviceConfig]:
    configs: list[DeviceConfig] = []
    for request in dict.fromkeys(result.request for result in allocation.devices.results):
        found = classes.get(_class_of(claim, request))
        entries = found.spec.config if found else []
        configs += [msgspec.structs.replace(entry, requests=[request], source="FromClass") for entry in entries]
    configs += [msgspec.structs.replace(entry, source="FromClaim") for entry in claim.spec.devices.config]
    return configs


def _class_of(claim: ResourceClaim, request: str) -> str:
    main, _, alternative = request.partition("/")
    for entry in claim.spec.devices.requests or ():
        if entry.name == main and entry.exactly:
            return entry.exactly.device_class_name
        for option in entry.first_available if entry.name == main else []:
            if option.name == alternative:
                return option.device_class_name
    return ""


def _shared(result: AllocationResult) -> AllocationResult:
    """A share of a device has a name of its own."""
    return msgspec.structs.replace(result, share_id=str(uuid4())) if result.consumed_capacity else result


def _only(node: str) -> Json:
    rule = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {"nodeSelectorTerms": [{"matchFields": [rule]}]}
