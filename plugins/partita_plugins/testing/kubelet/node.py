"""The Node object of a pretended node."""

from __future__ import annotations

from partita_plugins.testing.apiserver.errors import ApiError
from partita_plugins.testing.apiserver.metadata import timestamp
from partita_plugins.testing.kubeapi import Json, KubeApi
from partita_plugins.testing.kubelet.settings import KUBELET_VERSION, KubeletSettings


def register_node(api: KubeApi, settings: KubeletSettings) -> Json:
    """Create the Node or bring its labels up to date, and report it Ready."""
    name = settings.node_name
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        **settings.labels,
    }
    try:
        api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}})
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        api.patch("Node", name, {"metadata": {"labels": labels}})
    return report_node(api, settings, ready=True)


def report_node(api: KubeApi, settings: KubeletSettings, *, ready: bool) -> Json:
    now, status = timestamp(), "True" if ready else "Unknown"
    reason = "KubeletReady" if ready else "NodeStatusUnknown"
    condition = {"type": "Ready", "status": status, "reason": reason, "message": "", "lastHeartbeatTime": now}
    return api.patch(
        "Node",
        settings.node_name,
        {
            "status": {
                "capacity": dict(settings.capacity),
                "allocatable": dict(settings.capacity),
                "conditions": [{**condition, "lastTransitionTime": now}],
                "addresses": [
                    {"type": "InternalIP", "address": "127.0.0.1"},
                    {"type": "Hostname", "address": settings.node_name},
                ],
                "nodeInfo": {
                    "kubeletVersion": KUBELET_VERSION,
                    "operatingSystem": "linux",
                    "architecture": "amd64",
                    "containerRuntimeVersion": "partita-testing://1",
                    **dict.fromkeys(
                        ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "kubeProxyVersion"), ""
                    ),
                },
            }
        },
        subresource="status",
    )
