"""The embedded API server as these tests fill it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from partita_plugins.kube.api import KubeApi
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.wire import pool_name
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_slice import AttributeValue, Capacity, Device, Pool, ResourceSlice
from partita_plugins.wire.resource_slice import ResourceSliceSpec as Spec

Json = dict[str, Any]
GPU_CLASS = "gpu.partita.dev"


@contextmanager
def api_server(folder: Path) -> Iterator[tuple[ApiServer, KubeApi]]:
    server = ApiServer().start()
    try:
        yield server, KubeApi.connect(str(server.write_kubeconfig(folder / "kubeconfig")))
    finally:
        server.stop()


def plain(value: Any) -> Json:
    found: Json = msgspec.json.decode(msgspec.json.encode(value))
    return found


def node(name: str, **spec: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"host": name}}, "spec": spec}


def whole_gpus(node_name: str, count: int = 2) -> Json:
    """A slice of whole GPUs without counters."""
    devices = [
        Device(
            name=f"gpu-0000-{slot:02x}-00-0",
            attributes={
                "type": AttributeValue(string="gpu"),
                "slot": AttributeValue(int_=slot),
                "product": AttributeValue(string="NVIDIA H100"),
            },
            capacity={"memory": Capacity(value="80Gi")},
        )
        for slot in range(count)
    ]
    spec = Spec(driver=GPU_CLASS, pool=Pool(name=pool_name(node_name)), node_name=node_name, devices=devices)
    return plain(ResourceSlice(metadata=ObjectMeta(name=f"{node_name}-0"), spec=spec))


def device_class(name: str = "whole") -> Json:
    expression = f"device.driver == '{GPU_CLASS}' && device.attributes['{GPU_CLASS}'].type == 'gpu'"
    spec = {"selectors": [{"cel": {"expression": expression}}]}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}


def claim(name: str, count: int = 1) -> Json:
    request = {"name": "main", "exactly": {"deviceClassName": "whole", "count": count}}
    spec = {"devices": {"requests": [request]}}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata, "spec": spec}


def pod(name: str, claim_name: str = "", **spec: Any) -> Json:
    claims = [{"name": "gpu", "resourceClaimName": claim_name}] if claim_name else []
    uses = {"claims": [{"name": "gpu"}]} if claim_name else {}
    container = {"name": "main", "image": "none", "resources": uses}
    full = {"containers": [container], "resourceClaims": claims, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": full}


def messages(server: ApiServer, reason: str) -> list[str]:
    return [event["message"] for event in server.list("Event") if event["reason"] == reason]
