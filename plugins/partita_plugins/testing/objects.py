"""Small questions that every component asks about pods, claims and owners."""

from __future__ import annotations

from partita_plugins.testing.kubeapi import Json

POD_CLAIM_NAME = "resource.kubernetes.io/pod-claim-name"
CLAIM_FINALIZER = "resource.kubernetes.io/delete-protection"


def name_of(obj: Json) -> str:
    return str(obj["metadata"]["name"])


def namespace_of(obj: Json) -> str:
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Json) -> str:
    return str(obj["metadata"]["uid"])


def is_deleting(obj: Json) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_finished(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Json) -> bool:
    """Whether the pod runs, or still will."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def owner_uids(obj: Json) -> list[str]:
    return [str(owner.get("uid")) for owner in obj["metadata"].get("ownerReferences") or []]


def owner_reference(owner: Json) -> Json:
    """The reference that makes an object this one's, and has it collected with it."""
    reference: Json = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name_of(owner)}
    return reference | {"uid": uid_of(owner), "controller": True, "blockOwnerDeletion": True}


def reserved_for(claim: Json) -> list[Json]:
    found: list[Json] = (claim.get("status") or {}).get("reservedFor") or []
    return found


def allocation_of(claim: Json) -> Json | None:
    found: Json | None = (claim.get("status") or {}).get("allocation")
    return found


def allocated_devices(claim: Json) -> list[Json]:
    found: list[Json] = ((allocation_of(claim) or {}).get("devices") or {}).get("results") or []
    return found


def claim_names(pod: Json) -> dict[str, str]:
    """Name in the pod to name of the ResourceClaim; those that are not made yet are left out."""
    names: dict[str, str] = {}
    made = {entry["name"]: entry.get("resourceClaimName") for entry in pod_claim_statuses(pod)}
    for entry in pod["spec"].get("resourceClaims") or []:
        name = entry.get("resourceClaimName") or made.get(entry["name"])
        if name:
            names[entry["name"]] = name
    return names


def pod_claim_statuses(pod: Json) -> list[Json]:
    found: list[Json] = (pod.get("status") or {}).get("resourceClaimStatuses") or []
    return found
