"""A claim's status and events as values: what is told of a prepared device, and about whom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from partita_driver.claims import Prepared
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource import AllocatedDeviceStatus, Condition, ResourceClaim


def status_patch(found: dict[str, Any], uid: str, entries: Sequence[AllocatedDeviceStatus]) -> dict[str, Any] | None:
    """The merge patch that tells of our devices; None where the claim is another one or says so already."""
    status = found.get("status") or {}
    if found["metadata"]["uid"] != uid or not status.get("allocation"):
        return None
    before = status.get("devices") or []
    mine = [msgspec.to_builtins(entry) for entry in entries]
    told = [_timeless(entry) for entry in before if entry.get("driver") == DRIVER_NAME]
    if told == [_timeless(entry) for entry in mine]:
        return None
    others = [entry for entry in before if entry.get("driver") != DRIVER_NAME]
    version = {"uid": uid, "resourceVersion": found["metadata"]["resourceVersion"]}
    return {"metadata": version, "status": {"devices": [*others, *mine]}}


def device_status(device: Prepared) -> AllocatedDeviceStatus:
    """One device as the claim's status shows it."""
    validation = msgspec.to_builtins(device.validation) if device.validation is not None else None
    data: dict[str, Any] = {"uuid": device.uuid, **({"validation": validation} if validation else {})}
    ready = Condition(
        type="Ready",
        status="True",
        reason="Validated" if device.validation is not None and device.validation.looked else "Prepared",
        message="",
        last_transition_time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    return AllocatedDeviceStatus(
        driver=DRIVER_NAME,
        pool=device.pool,
        device=device.device,
        share_id=device.share_id,
        conditions=[ready],
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


def _timeless(entry: dict[str, Any]) -> dict[str, Any]:
    conditions = [
        {key: value for key, value in condition.items() if key not in {"lastTransitionTime", "message"}}
        for condition in entry.get("conditions") or []
    ]
    return {**entry, "conditions": conditions}
