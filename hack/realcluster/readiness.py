"""What "ready" means for each part of the cluster."""

from __future__ import annotations

import http.client
import ssl
import time
from dataclasses import dataclass
from typing import Any

from hack.realcluster import namespace
from hack.realcluster.errors import ClusterError
from hack.realcluster.kubeconfig import Api
from hack.realcluster.layout import Layout
from hack.realcluster.node import CONTAINERD_SOCKET, Node
from hack.realcluster.node_paths import outside
from hack.realcluster.state import State
from hack.realcluster.waiting import advice, wait_until

_SUPERVISOR_SECONDS = 10.0
# What a kubelet with an external cloud provider puts on its node until somebody knows its addresses.
_UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
READY_MARK = "namespace-ready"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Waits for the parts of one cluster."""

    layout: Layout
    state: State

    @property
    def api(self) -> Api:
        """The API of this cluster."""
        return Api(self.layout.pki, self.state.ports.api_server)

    def supervisor(self) -> None:
        """Wait until the supervisor can be asked for something."""
        deadline = time.monotonic() + _SUPERVISOR_SECONDS
        while not (self.layout.control_socket.exists() and namespace.find(self.layout)):
            if time.monotonic() > deadline:
                msg = f"The supervisor did not start.\n{advice(self.layout, 'supervisor')}"
                raise ClusterError(msg)
            time.sleep(0.01)

    def node_namespace(self, node: Node) -> None:
        """Wait until a node has its folders mounted over the standard paths."""
        mark = self.layout.node(node.name) / READY_MARK
        wait_until(f"{node.name} has its mounts", mark.exists, self.layout, component=node.holder)

    def containerd(self, node: Node) -> None:
        """Wait until a node's containerd listens."""
        listening = outside(self.layout.node(node.name), CONTAINERD_SOCKET)
        name = node.containerd().name
        wait_until(f"{name} listens", listening.exists, self.layout, component=name)

    def api_server(self) -> None:
        """Wait until the API is ready."""
        wait_until(
            "kube-apiserver is ready",
            lambda: self.api.answers("/readyz"),
            self.layout,
            component="kube-apiserver",
        )

    def scheduler(self) -> None:
        """Wait until kube-scheduler has synchronised and schedules."""
        port = self.state.ports.scheduler
        wait_until(
            "kube-scheduler is ready",
            lambda: _healthy(port, "/readyz"),
            self.layout,
            component="kube-scheduler",
        )

    def kubelet(self, node: Node) -> None:
        """Wait until a kubelet says that its node is ready, and be the node's cloud provider meanwhile."""
        path, component = _path(node), node.kubelet().name
        what = f"{node.name} is registered"
        wait_until(what, lambda: self.api.answers(path), self.layout, component=component)
        addresses = [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": node.name},
        ]
        self.api.patch(f"{path}/status", {"status": {"addresses": addresses}})
        what = f"{node.name} is initialized"
        wait_until(what, lambda: self._initialize(path), self.layout, component=component)
        what = f"{node.name} is ready"
        wait_until(what, lambda: says_ready(self.api.get(path)), self.layout, component=component)

    def node(self, node: Node) -> None:
        """Wait until a node takes pods."""
        wait_until(
            f"{node.name} takes pods",
            lambda: takes_pods(self.api.get(_path(node))),
            self.layout,
            component="kube-controller-manager",
        )

    def _initialize(self, path: str) -> bool:
        """Take the cloud provider's taint off a node; say no when the node changed in the meantime."""
        node = self.api.get(path)
        kept = [taint for taint in node["spec"].get("taints", []) if taint["key"] != _UNINITIALIZED]
        # Without the version, a taint that somebody else takes off at this moment would come back.
        version = {"resourceVersion": node["metadata"]["resourceVersion"]}
        return self.api.patch(path, {"metadata": version, "spec": {"taints": kept}})

    def default_service_account(self) -> None:
        """Wait until pods can be made in the default namespace: they need its account and its authority."""
        base = "/api/v1/namespaces/default"
        for path in (f"{base}/serviceaccounts/default", f"{base}/configmaps/kube-root-ca.crt"):
            wait_until(
                f"{path} exists",
                lambda path=path: self.api.answers(path),  # type: ignore[misc]
                self.layout,
                component="kube-controller-manager",
            )


def says_ready(node: dict[str, Any]) -> bool:
    """Say whether the kubelet calls its node ready."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def takes_pods(node: dict[str, Any]) -> bool:
    """Say whether a node is ready and no taint keeps pods away from it."""
    blocked = any(item["effect"] != "PreferNoSchedule" for item in node.get("spec", {}).get("taints", []))
    return says_ready(node) and not blocked


def _path(node: Node) -> str:
    return f"/api/v1/nodes/{node.name}"


def _healthy(port: int, path: str) -> bool:
    # kube-scheduler serves its health with a certificate it signed itself.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
