"""Eviction of pods from devices that carry a NoExecute taint which their claim does not tolerate."""

from __future__ import annotations

from datetime import UTC, datetime

from partita_plugins.testing.apiserver import ApiError, LocalApi
from partita_plugins.testing.kubeapi import Json
from partita_plugins.testing.objects import (
    allocated_devices,
    is_active,
    name_of,
    namespace_of,
    reserved_for,
    uid_of,
)
from partita_plugins.testing.recording import record_event

COMPONENT = "device-taint-eviction"

DeviceKey = tuple[str, str, str]


def evict_from_tainted_devices(api: LocalApi) -> None:
    """Pods that use such a device are deleted, once their toleration (if any) has run out."""
    tainted = _tainted_devices(api)
    if not tainted:
        return
    pods = {uid_of(pod): pod for pod in api.list("Pod")}
    for claim in api.list("ResourceClaim"):
        if not any(_must_go(result, tainted) for result in allocated_devices(claim)):
            continue
        for consumer in reserved_for(claim):
            pod = pods.get(consumer.get("uid", ""))
            if pod is not None and is_active(pod):
                _evict(api, pod)


def _tainted_devices(api: LocalApi) -> dict[DeviceKey, list[Json]]:
    """NoExecute taints by device, in the newest generation of each pool."""
    slices = [found["spec"] for found in api.peek("ResourceSlice")]
    newest: dict[tuple[str, str], int] = {}
    for spec in slices:
        pool = spec["driver"], spec["pool"]["name"]
        newest[pool] = max(newest.get(pool, 0), spec["pool"].get("generation", 0))
    tainted: dict[DeviceKey, list[Json]] = {}
    for spec in slices:
        driver, pool_name = spec["driver"], spec["pool"]["name"]
        if spec["pool"].get("generation", 0) < newest[driver, pool_name]:
            continue
        for device in spec.get("devices") or []:
            taints = [taint for taint in device.get("taints") or [] if taint.get("effect") == "NoExecute"]
            if taints:
                tainted[driver, pool_name, device["name"]] = taints
    return tainted


def _must_go(result: Json, tainted: dict[DeviceKey, list[Json]]) -> bool:
    taints = tainted.get((result["driver"], result["pool"], result["device"])) or []
    return not all(_is_tolerated(taint, result.get("tolerations") or []) for taint in taints)


def _is_tolerated(taint: Json, tolerations: list[Json]) -> bool:
    return any(_matches(taint, toleration) and not _has_run_out(taint, toleration) for toleration in tolerations)


def _matches(taint: Json, toleration: Json) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in {None, "", taint["key"]}
    same_value = toleration.get("value", "") == taint.get("value", "")
    return bool(toleration.get("key") == taint["key"] and same_value)


def _has_run_out(taint: Json, toleration: Json) -> bool:
    seconds = toleration.get("tolerationSeconds")
    if seconds is None or not taint.get("timeAdded"):
        return False
    added = datetime.fromisoformat(taint["timeAdded"])
    return (datetime.now(UTC) - added).total_seconds() >= float(seconds)


def _evict(api: LocalApi, pod: Json) -> None:
    message = "Marking for deletion"
    record_event(api, pod, reason="DeviceTaintManagerEviction", message=message, component=COMPONENT, kind="Normal")
    try:
        api.delete("Pod", name_of(pod), namespace_of(pod), uid=uid_of(pod))
    except ApiError as error:
        if error.code not in (404, 409):
            raise
