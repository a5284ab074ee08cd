"""Pods that wait, a kube-scheduler that starts, and how fast it binds them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click
import msgspec
from hack.benchmarks.extenders import running
from hack.benchmarks.fleet import Json, claim, node, node_name
from hack.benchmarks.leaving import leaving
from hack.benchmarks.plane import Scheduler, clear, drop_pod, open_namespace, write
from hack.benchmarks.targets import tell
from hack.benchmarks.vitals import cpu_seconds

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.changes import Changed
from partita_plugins.kube.resources import PODS
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.install.stanza import DEFAULT

DEADLINE_SECONDS = 900.0
TELL_SECONDS = 0.2
CLAIMS: dict[str, Json | None] = {
    "none": None,
    "gpu": claim("", 1),
    "mig-1g": claim("", 1, f"mig-1g.{DRIVER_NAME}"),
    "mig-3g": claim("", 1, f"mig-3g.{DRIVER_NAME}"),
    "shared": claim("", 1, f"shared.{DRIVER_NAME}", capacity={"requests": {"memory": "10Gi"}}),
}
"""What each pod wants, by the word for it on the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How it went."""

    pods_per_second: float
    extender_cpu_ms: float | None = None
    """What the extender spent for each pod, with all that it does beside answering; no other work shows in it."""

    first_choice_percent: float | None = None
    """Of the allocations that were foretold: on the node that the extender put first."""

    mismatch_percent: float | None = None
    """Of them: other devices than foretold for that node."""


def nodes(count: int) -> list[Json]:
    return [node(node_name(number)) for number in range(count)]


def published(found: ResourceSlice) -> Json:
    written: Json = msgspec.to_builtins(found)
    return written


def measure(
    api: KubeApi,
    namespace: str,
    *,
    pods: int,
    wish: Json | None,
    extender: str = "none",
    preset: str = DEFAULT,
    stay: int | None = None,
) -> Bound:
    """Let so many pods wait, start kube-scheduler, and see them bound. From the first one bound to the last.

    `stay`: of the bound ones so many; with each one more the first goes.
    """
    scheduler = Scheduler()
    scheduler.stop()
    open_namespace(api, namespace)
    if wish is not None:
        claims = ({**wish, "metadata": {"name": _name(number)}} for number in range(pods))
        write(api, claims, namespace)
    write(api, (_pod(_name(number), wish is not None) for number in range(pods)), namespace)
    with running(extender) as asked:
        _, version = api.list(PODS, namespace, as_=dict[str, Any])
        before = cpu_seconds(asked.pid) if asked.pid else 0.0
        scheduler.start(asked.stanzas(preset))
        with leaving(stay, lambda name: drop_pod(api, name, namespace)) as bound:
            seconds = _watch_bound(api, namespace, version, pods, bound)
        spent = round(1000 * (cpu_seconds(asked.pid) - before) / pods, 3) if asked.pid else None
        told = asked.foretold()
    clear(api, namespace)
    return Bound(pods_per_second=round((pods - 1) / seconds, 2), extender_cpu_ms=spent, **told)


def _name(number: int) -> str:
    return f"pod-{number:05d}"


def _pod(name: str, with_claim: bool) -> Json:
    container: Json = {"name": "main", "image": "none", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}
    spec: Json = {"containers": [container], "tolerations": [{"operator": "Exists"}]}
    if with_claim:
        container["resources"]["claims"] = [{"name": "gpu"}]
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimName": name}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class _Name(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    resource_version: str = ""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class _Pod(msgspec.Struct):
    """What is looked at of a pod: the clock is on the machine that is measured."""

    metadata: _Name = _Name()
    spec: _Spec = _Spec()


def _watch_bound(api: KubeApi, namespace: str, version: str, pods: int, told_of: Callable[[str], None]) -> float:
    bound: set[str] = set()
    first = told = 0.0
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (now := time.monotonic()) < deadline:
        for change in api.watch(PODS, version, namespace, as_=_Pod, timeout_seconds=60):
            version = change.object.metadata.resource_version
            if not isinstance(change, Changed) or not change.object.spec.node_name:
                continue
            found = change.object
            now = time.monotonic()
            first = first or now
            if found.metadata.name not in bound:
                bound.add(found.metadata.name)
                told_of(found.metadata.name)
            if now - told > TELL_SECONDS or len(bound) == pods:
                told = now
                tell(f"{namespace}: {len(bound)} of {pods} bound")
            if len(bound) == pods:
                return now - first
    raise click.ClickException(f"{len(bound)} of {pods} pods were bound: hack/cluster logs kube-scheduler says more")


def names(prefix: str) -> Iterator[str]:
    """Namespaces that were never used."""
    number = 0
    while True:
        number += 1
        yield f"{prefix}-{number}-{time.time_ns() % 10**9}"
