"""A claim's status and events as values: what is told of a prepared device, and about whom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from partita_driver.journal.records import ValidationSummary
from partita_driver.kubelet.claims import Prepared
from partita_plugins.wire import DRIVER_NAME, VALIDATED_CONDITION
from partita_plugins.wire.objects import Condition
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, AllocationResult, ResourceClaim


def status_patch(found: dict[str, Any], uid: str, entries: Sequence[AllocatedDeviceStatus]) -> dict[str, Any] | None:
    """The merge patch that tells of our devices; None where the claim is another one or says so already."""
    status = found.get("status") or {}
    if found["metadata"]["uid"] != uid or not status.get("allocation"):
        return None
    before = status.get("devices") or []
    told = [entry for entry in before if entry.get("driver") == DRIVER_NAME]
    mine = [_since_then(msgspec.to_builtins(entry), told) for entry in entries]
    if [_timeless(entry) for entry in told] == [_timeless(entry) for entry in mine]:
        return None
    others = [entry for entry in before if entry.get("driver") != DRIVER_NAME]
    version = {"uid": uid, "resourceVersion": found["metadata"]["resourceVersion"]}
    return {"metadata": version, "status": {"devices": [*others, *mine]}}


def device_status(device: Prepared, results: Sequence[AllocationResult] = ()) -> AllocatedDeviceStatus:
    """A device that is handed out, as the claim's status shows it."""
    ready = condition(
        "Ready", "Validated" if device.validation is not None and device.validation.looked else "Prepared"
    )
    return _status(device, [ready, *_bound(device, results)])


def ahead_status(device: Prepared, results: Sequence[AllocationResult]) -> AllocatedDeviceStatus:
    """A device that is ready for a pod which is not bound yet."""
    return _status(device, _bound(device, results))


def condition(kind: str, reason: str, message: str = "") -> Condition:
    """A condition that is true from now on."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Condition(type=kind, status="True", reason=reason, message=message, last_transition_time=now)


def _bound(device: Prepared, results: Sequence[AllocationResult]) -> list[Condition]:
    """What kube-scheduler waits for, as long as the device is allocated: another pod of the claim may come."""
    key = (device.pool, device.device, device.share_id)
    waits = any(
        VALIDATED_CONDITION in one.binding_conditions and (one.pool, one.device, one.share_id) == key for one in results
    )
    return [condition(VALIDATED_CONDITION, "Validated")] if waits else []


def _told(validation: ValidationSummary) -> dict[str, Any]:
    """A validation as the API spells fields; what was skipped has its reason and no figures."""
    moment = {"moment": validation.moment} if validation.moment else {}
    told = {"method": validation.method, "depth": validation.depth, **moment}
    if validation.depth == "skipped":
        return {**told, "skipped": validation.reason}
    return {**told, "seconds": validation.seconds, "memoryCoverage": validation.memory_coverage}


def _status(device: Prepared, conditions: list[Condition]) -> AllocatedDeviceStatus:
    data: dict[str, Any] = {"uuid": device.uuid}
    if device.validation is not None:
        data["validation"] = _told(device.validation)
    return AllocatedDeviceStatus(
        driver=DRIVER_NAME,
        pool=device.pool,
        device=device.device,
        share_id=device.share_id,
        conditions=conditions,
        data=data,
    )


def concerned(claim: ResourceClaim) -> list[dict[str, Any]]:
    """The claim and the pods that it is reserved for, as events name them."""
    namespace = claim.metadata.namespace
    itself = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "namespace": namespace,
        "name": claim.metadata.name,
        "uid": claim.metadata.uid,
    }
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": user.name, "uid": user.uid}
        for user in claim.status.reserved_for
        if user.resource == "pods"
    ]
    return [itself, *pods]


def _since_then(entry: dict[str, Any], told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An entry whose conditions are as old as they are."""
    known = {
        (one.get("pool"), one.get("device"), one.get("shareID"), old["type"], old.get("status")): old
        for one in told
        for old in one.get("conditions") or []
    }
    key = (entry.get("pool"), entry.get("device"), entry.get("shareID"))
    conditions = []
    for new in entry.get("conditions") or []:
        old = known.get((*key, new["type"], new["status"]))
        since = {"lastTransitionTime": old["lastTransitionTime"]} if old and "lastTransitionTime" in old else {}
        conditions.append({**new, **since})
    return {**entry, "conditions": conditions}


def _timeless(entry: dict[str, Any]) -> dict[str, Any]:
    conditions = [
        {key: value for key, value in condition.items() if key not in {"lastTransitionTime", "message"}}
        for condition in entry.get("conditions") or []
    ]
    return {**entry, "conditions": conditions}
