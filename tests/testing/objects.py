"""Objects as users and drivers write them."""

from __future__ import annotations

from typing import Any

from partita_plugins.testing.apiserver import ApiServer

Json = dict[str, Any]

DRIVER = "gpu.partita.dev"
DRA = "resource.k8s.io/v1"


def pod(name: str, *, claims: dict[str, str] | None = None, template: str = "", node: str = "", **spec: Any) -> Json:
    """A pod with one container `main` that lists all its claims."""
    entries = [{"name": alias, "resourceClaimName": claim} for alias, claim in (claims or {}).items()]
    if template:
        entries.append({"name": "gpu", "resourceClaimTemplateName": template})
    used = [{"name": entry["name"]} for entry in entries]
    container = {"name": "main", "image": "busybox", "resources": {"claims": used}}
    body: Json = {"containers": [container], "resourceClaims": entries, **spec}
    if node:
        body["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": body}


def claim_spec() -> Json:
    return {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}


def claim(name: str) -> Json:
    return {"apiVersion": DRA, "kind": "ResourceClaim", "metadata": {"name": name}, "spec": claim_spec()}


def template(name: str) -> Json:
    return {
        "apiVersion": DRA,
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name},
        "spec": {"spec": claim_spec()},
    }


def allocation(device: str = "gpu-0", **more: Any) -> Json:
    result = {"request": "gpu", "driver": DRIVER, "pool": "n1", "device": device, **more}
    return {"devices": {"results": [result]}}


def resource_slice(name: str, node: str = "n1", **spec: Any) -> Json:
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    body = {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": [{"name": "gpu-0"}], **spec}
    return {"apiVersion": DRA, "kind": "ResourceSlice", "metadata": {"name": name}, "spec": body}


def node(name: str, **labels: str) -> Json:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def reasons(server: ApiServer) -> list[str]:
    return sorted(event["reason"] for event in server.list("Event"))
