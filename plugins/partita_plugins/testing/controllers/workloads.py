"""Deployments, ReplicaSets and DaemonSets: as many pods as wanted, and a status that counts them."""

from __future__ import annotations

import hashlib

from partita_plugins.testing.apiserver import ApiError, LocalApi
from partita_plugins.testing.apiserver.selectors import labels_of
from partita_plugins.testing.apiserver.store import encode
from partita_plugins.testing.kubeapi import Json
from partita_plugins.testing.objects import (
    is_active,
    is_deleting,
    is_ready,
    name_of,
    namespace_of,
    owner_reference,
    owner_uids,
    uid_of,
)
from partita_plugins.testing.recording import record_event

HASH_LABEL = "pod-template-hash"


def run_deployments(api: LocalApi) -> None:
    """One ReplicaSet per template: the present one gets all replicas, earlier ones none."""
    replicasets = api.list("ReplicaSet").items
    for deployment in api.list("Deployment"):
        if is_deleting(deployment):
            continue
        owned = _owned_by(deployment, replicasets)
        digest = _template_hash(deployment)
        current = next((found for found in owned if labels_of(found).get(HASH_LABEL) == digest), None)
        current = current or api.create(_replicaset(deployment, digest))
        for found in [current, *owned]:
            wanted = deployment["spec"]["replicas"] if name_of(found) == name_of(current) else 0
            if found["spec"]["replicas"] != wanted:
                api.patch("ReplicaSet", name_of(found), {"spec": {"replicas": wanted}}, namespace_of(found))
        _set_status(api, deployment, dict(current.get("status") or {}))


def run_replicasets(api: LocalApi) -> None:
    """Pods are made or deleted until the number is right; those not ready yet are deleted first."""
    pods = api.list("Pod").items
    for replicaset in api.list("ReplicaSet"):
        if is_deleting(replicaset):
            continue
        owned = [pod for pod in _owned_by(replicaset, pods) if is_active(pod)]
        missing = replicaset["spec"]["replicas"] - len(owned)
        for _ in range(missing):
            if not _create(api, replicaset, _pod(replicaset)):
                break
        for pod in sorted(owned, key=is_ready)[: max(0, -missing)]:
            api.delete("Pod", name_of(pod), namespace_of(pod))
        ready = sum(map(is_ready, owned))
        counts = {"replicas": len(owned), "readyReplicas": ready, "availableReplicas": ready}
        _set_status(api, replicaset, counts)


def run_daemonsets(api: LocalApi) -> None:
    """One pod on every node that the template's nodeSelector matches, bound to it from the start."""
    daemonsets = api.list("DaemonSet").items
    if not daemonsets:
        return
    pods, nodes = api.list("Pod").items, api.list("Node").items
    for daemonset in daemonsets:
        if is_deleting(daemonset):
            continue
        owned = {pod["spec"]["nodeName"]: pod for pod in _owned_by(daemonset, pods) if is_active(pod)}
        selector = daemonset["spec"]["template"]["spec"].get("nodeSelector") or {}
        wanted = {name_of(node) for node in nodes if selector.items() <= labels_of(node).items()}
        for node in sorted(wanted - owned.keys()):
            pod = _pod(daemonset)
            pod["spec"]["nodeName"] = node
            _create(api, daemonset, pod)
        for node in owned.keys() - wanted:
            api.delete("Pod", name_of(owned[node]), namespace_of(daemonset))
        ready = sum(is_ready(pod) for node, pod in owned.items() if node in wanted)
        counts = {"desiredNumberScheduled": len(wanted), "currentNumberScheduled": len(owned), "numberReady": ready}
        _set_status(api, daemonset, counts)


def _create(api: LocalApi, owner: Json, pod: Json) -> bool:
    """Whether the pod was taken; where not, an event of its owner says why."""
    try:
        api.create(pod)
    except ApiError as error:
        message = f"Error creating: {error.advice}"
        component = f"{owner['kind'].lower()}-controller"
        record_event(api, owner, reason="FailedCreate", message=message, component=component, once=True)
        return False
    return True


def _owned_by(owner: Json, objects: list[Json]) -> list[Json]:
    return [obj for obj in objects if uid_of(owner) in owner_uids(obj)]


def _template_hash(deployment: Json) -> str:
    return hashlib.sha256(encode(deployment["spec"]["template"])).hexdigest()[:10]


def _replicaset(deployment: Json, digest: str) -> Json:
    spec, label = deployment["spec"], {HASH_LABEL: digest}
    template = _labelled(spec["template"], label)
    selector = {**spec["selector"], "matchLabels": {**(spec["selector"].get("matchLabels") or {}), **label}}
    metadata = {
        "name": f"{name_of(deployment)}-{digest}",
        "namespace": namespace_of(deployment),
        "labels": template["metadata"]["labels"],
        "ownerReferences": [owner_reference(deployment)],
    }
    wanted = {"replicas": spec["replicas"], "selector": selector, "template": template}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": wanted}


def _labelled(template: Json, labels: dict[str, str]) -> Json:
    metadata = template.get("metadata") or {}
    return {**template, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}}


def _pod(owner: Json) -> Json:
    template = owner["spec"]["template"]
    metadata = {
        "generateName": f"{name_of(owner)}-",
        "namespace": namespace_of(owner),
        "labels": (template.get("metadata") or {}).get("labels") or {},
        "annotations": (template.get("metadata") or {}).get("annotations") or {},
        "ownerReferences": [owner_reference(owner)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(template["spec"])}


def _set_status(api: LocalApi, obj: Json, counts: Json) -> None:
    status = {**counts, "observedGeneration": obj["metadata"].get("generation", 1)}
    if (obj.get("status") or {}) != status:
        api.update({**obj, "status": status}, subresource="status")
