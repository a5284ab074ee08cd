"""Objects that the demo submits beside the examples, and small questions about objects."""

from __future__ import annotations

from typing import Any

from hack.demo.placements import Placement

from partita_plugins.testing.apiserver import LocalApi
from partita_plugins.testing.objects import pod_claim_statuses

Json = dict[str, Any]

GPU_CLASS = "gpu.partita.dev"
CLAIM_API = "resource.k8s.io/v1"


def too_much(name: str) -> list[Json]:
    """A pod that no node can take: machines with NVLink have smaller GPUs, the one with larger GPUs has no NVLink."""
    large = f"device.capacity['{GPU_CLASS}'].memory.compareTo(quantity('90Gi')) >= 0"
    exactly = {"deviceClassName": GPU_CLASS, "count": 2, "selectors": [{"cel": {"expression": large}}]}
    request = {"name": "gpu", "exactly": exactly}
    constraint = {"requests": ["gpu"], "matchAttribute": "gpu.partita.dev/nvlinkIsland"}
    metadata = {"name": name, "namespace": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod_spec(name)}
    return [_template(name, {"requests": [request], "constraints": [constraint]}), pod]


def trainers(name: str, replicas: int) -> list[Json]:
    """A Deployment whose pods have one whole GPU each."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": _pod_spec(name)}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }
    return [_template(name, {"requests": [{"name": "gpu", "exactly": {"deviceClassName": GPU_CLASS}}]}), deployment]


def _template(name: str, devices: Json) -> Json:
    metadata = {"name": name, "namespace": "default"}
    return {
        "apiVersion": CLAIM_API,
        "kind": "ResourceClaimTemplate",
        "metadata": metadata,
        "spec": {"spec": {"devices": devices}},
    }


def _pod_spec(template: str) -> Json:
    container = {"name": "main", "image": "busybox:1.37", "resources": {"claims": [{"name": "gpu"}]}}
    return {
        "terminationGracePeriodSeconds": 0,
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": template}],
        "containers": [container],
    }


def has_claims(api: LocalApi, pod: str) -> bool:
    """Whether all claims from templates are made for a pod of `default`."""
    found = api.get("Pod", pod, "default")
    return len(pod_claim_statuses(found)) == len(found["spec"].get("resourceClaims") or [])


def events_of(api: LocalApi, name: str, reason: str) -> list[Json]:
    """Events about an object of `default`, by its name and the reason."""
    events = api.list("Event", "default", field_selector=f"reason={reason}")
    return [event for event in events if event.get("involvedObject", {}).get("name") == name]


def last_event(api: LocalApi, pods: list[str]) -> str:
    """The latest that was said about any of these pods of `default`."""
    events = [event for event in api.list("Event", "default") if event["involvedObject"]["name"] in pods]
    last = max(events, key=lambda event: int(event["metadata"]["resourceVersion"]), default=None)
    return f"the last event is {last['reason']}: {last['message']}" if last else "there is no event"


def row(pod: Placement) -> tuple[str, str, str, str]:
    """A pod as a line of a table: where, what it has, what its containers see of it."""
    views = list(pod.sees.items())
    same = len({(seen.gpus, seen.capabilities) for _, seen in views}) == 1
    texts = []
    for container, seen in views[:1] if same else views:
        nodes = " ".join([*seen.gpus, *seen.capabilities])
        memory = " + ".join(f"{int(value) / 1024:.1f} GiB" for value in seen.values("MEMORY_MIB"))
        who = "both: " if same and len(views) > 1 else f"{container}: " if len(views) > 1 else ""
        texts.append(f"{who}{nodes}  {memory}")
    return pod.pod, pod.node, pod.what, "; ".join(texts)
