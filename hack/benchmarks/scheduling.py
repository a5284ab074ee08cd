"""Pods that wait, a kube-scheduler that starts, and how fast it binds them."""

from __future__ import annotations

import http.client
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import yaml
from hack.benchmarks.fleet import Json, claim, node, node_name
from hack.benchmarks.plane import Scheduler, clear, open_namespace, write
from hack.demo.endpoints import LOOPBACK, http_port
from hack.demo.processes import Process
from hack.demo.waiting import until
from hack.realcluster.layout import default_layout
from prometheus_client.parser import text_string_to_metric_families

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import PODS
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource import ResourceSlice
from partita_scheduler.install.stanza import stanza

DEADLINE_SECONDS = 900.0
CLAIMS: dict[str, Json | None] = {
    "none": None,
    "gpu": claim("", 1),
    "mig-1g": claim("", 1, f"mig-1g.{DRIVER_NAME}"),
    "mig-3g": claim("", 1, f"mig-3g.{DRIVER_NAME}"),
    "shared": claim("", 1, f"shared.{DRIVER_NAME}", capacity={"requests": {"memory": "10Gi"}}),
}
"""What each pod wants, by the word for it on the command line."""

EXTENDERS = {
    "noop": ["hack.benchmarks.noop"],
    "partita": ["partita_scheduler", "run", "--listen", f"{LOOPBACK}:0", "--no-leader-election"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How it went."""

    pods_per_second: float
    first_choice_percent: float | None = None
    """Of the allocations that were foretold: on the node that the extender put first."""

    mismatch_percent: float | None = None
    """Of them: other devices than foretold for that node."""


def nodes(count: int) -> list[Json]:
    return [node(node_name(number)) for number in range(count)]


def published(found: ResourceSlice) -> Json:
    written: Json = msgspec.to_builtins(found)
    return written


def measure(api: KubeApi, namespace: str, *, pods: int, wish: Json | None, extender: str = "none") -> Bound:
    """Let so many pods wait, start kube-scheduler, and see them bound. From the first one bound to the last."""
    scheduler = Scheduler()
    scheduler.stop()
    open_namespace(api, namespace)
    if wish is not None:
        claims = ({**wish, "metadata": {"name": _name(number)}} for number in range(pods))
        write(api, claims, namespace)
    write(api, (_pod(_name(number), wish is not None) for number in range(pods)), namespace)
    with _extender(extender) as port:
        _, version = api.list(PODS, namespace, as_=dict[str, Any])
        scheduler.start(_stanza(port) if port else [])
        seconds = _watch_bound(api, namespace, version, pods)
        told = _told(port) if port and extender == "partita" else {}
    clear(api, namespace)
    return Bound(pods_per_second=round((pods - 1) / seconds, 2), **told)


def _name(number: int) -> str:
    return f"pod-{number:05d}"


def _pod(name: str, with_claim: bool) -> Json:
    container: Json = {"name": "main", "image": "none", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}
    spec: Json = {"containers": [container], "tolerations": [{"operator": "Exists"}]}
    if with_claim:
        container["resources"]["claims"] = [{"name": "gpu"}]
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimName": name}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@contextmanager
def _extender(name: str) -> Iterator[int]:
    """The extender's port; 0 for none."""
    if name == "none":
        yield 0
        return
    with tempfile.TemporaryDirectory(prefix="partita-") as folder:
        command = EXTENDERS[name]
        if name == "partita":
            command = [*command, "--kubeconfig", str(default_layout().kubeconfig)]
        process = Process(name, command, Path(folder) / f"{name}.log")
        process.start()
        try:
            port = until(f"{name} listens", lambda: http_port(process), seconds=120)
            until(f"{name} is ready", lambda: name == "noop" or _get(port, "/readyz")[0] == http.client.OK, seconds=120)
            yield port
        finally:
            process.kill()


def _stanza(port: int) -> list[Json]:
    text = stanza(url=f"http://{LOOPBACK}:{port}", preset="strong", certificates="")
    found: list[Json] = yaml.safe_load(text)["extenders"]
    return found


def _watch_bound(api: KubeApi, namespace: str, version: str, pods: int) -> float:
    bound: set[str] = set()
    first = 0.0
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        for line in api.watch(PODS, version, namespace, timeout_seconds=60):
            found = msgspec.json.decode(line.object, type=dict[str, Any])
            version = found["metadata"]["resourceVersion"]
            if line.type == "BOOKMARK" or not found["spec"].get("nodeName"):
                continue
            first = first or time.monotonic()
            bound.add(found["metadata"]["name"])
            print(f"{namespace}: {len(bound)} of {pods} bound ", end="\r", file=sys.stderr, flush=True)
            if len(bound) == pods:
                return time.monotonic() - first
    raise click.ClickException(f"{len(bound)} of {pods} pods were bound: hack/cluster logs kube-scheduler says more")


def _told(port: int) -> dict[str, float]:
    """What the extender counted, once the last allocations have reached it."""
    time.sleep(1.0)
    _, content = _get(port, "/metrics")
    counted: dict[str, dict[str, float]] = {"prediction": {}, "choice": {}}
    for family in text_string_to_metric_families(content.decode()):
        for sample in family.samples:
            for what, label in (("prediction", "result"), ("choice", "node")):
                if sample.name == f"partita_scheduler_{what}_total":
                    counted[what][sample.labels[label]] = sample.value
    found = {}
    for what, of, name in (("choice", "first", "first_choice_percent"), ("prediction", "mismatch", "mismatch_percent")):
        if total := sum(counted[what].values()):
            found[name] = round(100 * counted[what].get(of, 0.0) / total, 2)
    return found


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def names(prefix: str) -> Iterator[str]:
    """Namespaces that were never used."""
    number = 0
    while True:
        number += 1
        yield f"{prefix}-{number}-{time.time_ns() % 10**9}"
