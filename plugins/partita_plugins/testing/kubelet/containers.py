"""From prepared claims to what each container is given, and to the status that a started pod reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from partita_plugins.testing.apiserver.metadata import timestamp
from partita_plugins.testing.kubeapi import Json
from partita_plugins.testing.kubelet.cdi import CdiFolder
from partita_plugins.testing.kubelet.claims import EXTENDED, extended_claim
from partita_plugins.testing.kubelet.drivers import PreparedDevice
from partita_plugins.testing.kubelet.views import ContainerView, Edits
from partita_plugins.testing.objects import name_of, namespace_of, uid_of

Prepared = Mapping[str, tuple[PreparedDevice, ...]]
"""Devices by the claim's name in the pod."""

READY_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")


def containers_of(pod: Json) -> list[Json]:
    return [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]


def view_containers(pod: Json, prepared: Prepared, cdi: CdiFolder) -> dict[str, ContainerView]:
    """Every container with the devices of just those claims and requests that it lists. May raise CdiError."""
    views: dict[str, ContainerView] = {}
    for container in containers_of(pod):
        edits = Edits(env={entry["name"]: str(entry.get("value", "")) for entry in container.get("env") or []})
        ids = list(dict.fromkeys(_cdi_ids(pod, container, prepared)))
        cdi.apply(ids, edits)
        views[container["name"]] = ContainerView(
            namespace=namespace_of(pod),
            pod=name_of(pod),
            pod_uid=uid_of(pod),
            container=container["name"],
            cdi_ids=tuple(ids),
            env=edits.env,
            device_nodes=tuple(edits.device_nodes.values()),
            mounts=tuple(edits.mounts.values()),
            hooks=tuple(edits.hooks),
        )
    return views


def _cdi_ids(pod: Json, container: Json, prepared: Prepared) -> Iterable[str]:
    for alias, request in _wanted(pod, container):
        for device in prepared.get(alias, ()):
            if not request or not device.requests or request in device.requests:
                yield from device.cdi_ids


def _wanted(pod: Json, container: Json) -> Iterable[tuple[str, str]]:
    """Claim and request (empty for all) that a container asks for, by name or as an extended resource."""
    for entry in (container.get("resources") or {}).get("claims") or []:
        yield entry["name"], entry.get("request", "")
    for mapping in extended_claim(pod).get("requestMappings") or []:
        if mapping.get("containerName") == container["name"]:
            yield EXTENDED, mapping["requestName"]


def waiting_status(pod: Json, reason: str, message: str) -> Json:
    """The status of a pod that cannot start yet."""
    statuses = [
        _container_status(container, {"waiting": {"reason": reason, "message": message}}, ready=False)
        for container in pod["spec"]["containers"]
    ]
    return {"phase": "Pending", "containerStatuses": statuses}


def running_status(pod: Json) -> Json:
    """The status of a pod whose containers run."""
    now = timestamp()
    statuses = [
        _container_status(container, {"running": {"startedAt": now}}, ready=True)
        for container in pod["spec"]["containers"]
    ]
    address = "127.0.0.1"
    return {
        "phase": "Running",
        "conditions": _conditions(pod, "True", now),
        "containerStatuses": statuses,
        "startTime": now,
        "hostIP": address,
        "podIP": address,
        "podIPs": [{"ip": address}],
    }


def finished_status(pod: Json, exit_code: int) -> Json:
    """The status of a pod whose containers have ended."""
    now, reason = timestamp(), "Completed" if exit_code == 0 else "Error"
    ended = {"terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": now}}
    statuses = [_container_status(container, ended, ready=False) for container in pod["spec"]["containers"]]
    phase = "Succeeded" if exit_code == 0 else "Failed"
    return {"phase": phase, "conditions": _conditions(pod, "False", now), "containerStatuses": statuses}


def _container_status(container: Json, state: Json, *, ready: bool) -> Json:
    image = container.get("image", "")
    status: Json = {"name": container["name"], "image": image, "imageID": image, "restartCount": 0}
    return status | {"ready": ready, "started": ready, "state": state}


def _conditions(pod: Json, status: str, now: str) -> list[Json]:
    """The pod's conditions with those of its containers set anew; a transition time moves only with its status."""
    found = {entry["type"]: entry for entry in (pod.get("status") or {}).get("conditions") or []}
    for kind in READY_CONDITIONS:
        if found.get(kind, {}).get("status") != status:
            found[kind] = {"type": kind, "status": status, "lastTransitionTime": now}
    return list(found.values())
