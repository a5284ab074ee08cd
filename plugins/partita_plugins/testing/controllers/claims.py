"""The life of ResourceClaims: made from templates, released when their pods are done, then deallocated."""

from __future__ import annotations

from partita_plugins.testing.apiserver import ApiError, LocalApi
from partita_plugins.testing.kubeapi import Json
from partita_plugins.testing.objects import (
    CLAIM_FINALIZER,
    POD_CLAIM_NAME,
    allocation_of,
    is_active,
    is_deleting,
    is_finished,
    name_of,
    namespace_of,
    owner_reference,
    owner_uids,
    pod_claim_statuses,
    reserved_for,
    uid_of,
)
from partita_plugins.testing.recording import record_event

COMPONENT = "resource_claim"


def make_claims(api: LocalApi) -> None:
    """Every pod that names a template gets a claim of its own, and its status says which."""
    made = {
        (uid, claim["metadata"].get("annotations", {}).get(POD_CLAIM_NAME)): name_of(claim)
        for claim in api.list("ResourceClaim")
        for uid in owner_uids(claim)
    }
    for pod in api.list("Pod"):
        wanted = [entry for entry in pod["spec"].get("resourceClaims") or [] if entry.get("resourceClaimTemplateName")]
        if not wanted or not is_active(pod):
            continue
        known = {entry["name"]: entry for entry in pod_claim_statuses(pod)}
        for entry in wanted:
            name = made.get((uid_of(pod), entry["name"])) or _make_claim(api, pod, entry)
            if name:
                known[entry["name"]] = {"name": entry["name"], "resourceClaimName": name}
        statuses = list(known.values())
        if statuses != pod_claim_statuses(pod):
            patch = {"status": {"resourceClaimStatuses": statuses}}
            api.patch("Pod", name_of(pod), patch, namespace_of(pod), subresource="status")


def _make_claim(api: LocalApi, pod: Json, entry: Json) -> str:
    template_name, namespace = entry["resourceClaimTemplateName"], namespace_of(pod)
    try:
        template = api.get("ResourceClaimTemplate", template_name, namespace)
        inner = template["spec"].get("metadata") or {}
        metadata = {
            "generateName": f"{name_of(pod)}-{entry['name']}-",
            "namespace": namespace,
            "labels": inner.get("labels") or {},
            "annotations": {**(inner.get("annotations") or {}), POD_CLAIM_NAME: entry["name"]},
            "ownerReferences": [owner_reference(pod)],
        }
        kind = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim"}
        return name_of(api.create({**kind, "metadata": metadata, "spec": template["spec"]["spec"]}))
    except ApiError as error:
        message = f"PodResourceClaim {entry['name']}: resource claim template {template_name!r}: {error.advice}"
        record_event(api, pod, reason="FailedResourceClaimCreation", message=message, component=COMPONENT, once=True)
        return ""


def release_claims(api: LocalApi) -> None:
    """Pods that are done give their reservations back; the last one gives back the devices."""
    pods = {uid_of(pod): pod for pod in api.list("Pod")}
    for claim in api.list("ResourceClaim"):
        kept = [entry for entry in reserved_for(claim) if _still_uses(pods.get(entry.get("uid", "")), entry)]
        if kept != reserved_for(claim) or (not kept and allocation_of(claim)):
            _release(api, claim, kept)
        elif not kept and CLAIM_FINALIZER in (claim["metadata"].get("finalizers") or []):
            _unprotect(api, claim)
        if not is_deleting(claim) and any(is_finished(pods[uid]) for uid in owner_uids(claim) if uid in pods):
            api.delete("ResourceClaim", name_of(claim), namespace_of(claim), uid=uid_of(claim))


def _still_uses(pod: Json | None, entry: Json) -> bool:
    if entry.get("resource", "pods") != "pods":
        return True  # another controller's consumer
    if pod is None or is_finished(pod):
        return False
    return bool(pod["spec"].get("nodeName")) or not is_deleting(pod)


def _release(api: LocalApi, claim: Json, kept: list[Json]) -> None:
    status = dict(claim.get("status") or {})
    if kept:
        status["reservedFor"] = kept
    else:
        for key in ("reservedFor", "allocation"):
            status.pop(key, None)
    _conflicts_are_news(api, {**claim, "status": status}, "status")


def _unprotect(api: LocalApi, claim: Json) -> None:
    left = [finalizer for finalizer in claim["metadata"]["finalizers"] if finalizer != CLAIM_FINALIZER]
    _conflicts_are_news(api, {**claim, "metadata": {**claim["metadata"], "finalizers": left}}, "")


def _conflicts_are_news(api: LocalApi, obj: Json, subresource: str) -> None:
    """Somebody reserved the claim meanwhile: the next step decides again, on what is there then."""
    try:
        api.update(obj, subresource=subresource)
    except ApiError as error:
        if error.code not in (404, 409):
            raise
