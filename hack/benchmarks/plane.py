"""A real control plane without nodes: etcd, kube-apiserver and kube-scheduler, and what writes fleets into it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from hack.realcluster import state
from hack.realcluster.control import Control
from hack.realcluster.layout import Layout, default_layout
from hack.realcluster.readiness import Readiness
from hack.realcluster.scheduler_config import merge

from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound
from partita_plugins.kube.resources import DEVICE_CLASSES, NODES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES, Resource

Json = dict[str, Any]
CLUSTER = Path(__file__).resolve().parents[1] / "cluster"
SCHEDULER = "kube-scheduler"
WRITERS = 8
CLEAR_TRIES = 5
CALLS_PER_SECOND = 5000
"""kube-scheduler's own client would stop it at 50."""

NAMESPACES = Resource("v1", "namespaces", namespaced=False)
ACCOUNTS = Resource("v1", "serviceaccounts", namespaced=True)
BY_KIND = {
    "Node": NODES,
    "Pod": PODS,
    "DeviceClass": DEVICE_CLASSES,
    "ResourceSlice": RESOURCE_SLICES,
    "ResourceClaim": RESOURCE_CLAIMS,
}
NOW: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}


@contextmanager
def control_plane(version: str) -> Iterator[KubeApi]:
    """A control plane without nodes and without the controllers, which would tidy up nodes that nobody runs."""
    _cluster("up", "--nodes", "0", "--version", version)
    try:
        Control(default_layout()).stop("kube-controller-manager")
        yield KubeApi.connect(str(default_layout().kubeconfig), pool_size=WRITERS * 2)
    finally:
        _cluster("down")


def _cluster(*arguments: str) -> None:
    if subprocess.run([CLUSTER, *arguments], check=False).returncode:
        raise click.ClickException(f"hack/cluster {' '.join(arguments)} failed: it has said why above")


class Scheduler:
    """kube-scheduler, stopped and started with another configuration."""

    def __init__(self, layout: Layout | None = None) -> None:
        self._layout = layout or default_layout()

    def stop(self) -> None:
        Control(self._layout).stop(SCHEDULER)

    def start(self, extenders: list[Json]) -> None:
        """Start it with these extenders; returns when it has synchronised."""
        kubeconfig = str(self._layout.kubeconfigs / SCHEDULER)
        config = json.loads(merge(json.dumps({"extenders": extenders}), kubeconfig))
        config["clientConnection"] |= {"qps": CALLS_PER_SECOND, "burst": CALLS_PER_SECOND}
        self._layout.scheduler_config.write_text(json.dumps(config, indent=2))
        Control(self._layout).start_again(SCHEDULER)
        known = state.load(self._layout)
        if known is None:
            raise click.ClickException("the control plane is gone: hack/cluster status says more")
        Readiness(self._layout, known).scheduler()


def write(api: KubeApi, objects: Iterable[Json], namespace: str = "") -> None:
    """Create objects, several at a time. Raises the first error."""
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(lambda found: api.create(BY_KIND[found["kind"]], found, namespace), objects))


def open_namespace(api: KubeApi, name: str) -> None:
    """A namespace with the account that pods need, which a controller would make."""
    api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    api.create(ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}, name)


def clear(api: KubeApi, namespace: str) -> None:
    """Delete a namespace's pods and claims; no controller is there to take the claims' finalizers off."""
    api.request("DELETE", PODS.path(namespace=namespace), body=NOW, timeout_seconds=60)
    claims, _ = api.list(RESOURCE_CLAIMS, namespace, as_=dict[str, Any])
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(lambda claim: drop_claim(api, claim["metadata"]["name"], namespace), claims))


def drop_claim(api: KubeApi, name: str, namespace: str) -> None:
    """Delete a claim, whoever has it."""
    try:
        api.delete(RESOURCE_CLAIMS, name, namespace, options=NOW)
        api.patch(RESOURCE_CLAIMS, name, {"metadata": {"finalizers": None}}, namespace)
    except NotFound:
        return


def drop_pod(api: KubeApi, name: str, namespace: str) -> None:
    """Delete a pod and the claim of its name."""
    api.delete(PODS, name, namespace, options=NOW)
    drop_claim(api, name, namespace)


def clear_fleet(api: KubeApi) -> None:
    """Delete all slices and nodes. On a busy machine one request ends before all are gone: the next one goes on."""
    for resource in (RESOURCE_SLICES, NODES):
        for left in reversed(range(CLEAR_TRIES)):
            try:
                api.request("DELETE", resource.path(), body=NOW, timeout_seconds=120)
                break
            except PartitaError as error:
                if not left:
                    raise click.ClickException(f"the fleet is not deleted: {error}") from error
