"""One fresh look at the cluster over the API, for commands that run once."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Refused
from partita_plugins.kube.optional import list_served
from partita_plugins.kube.resources import (
    DEVICE_CLASSES,
    DEVICE_TAINT_RULES,
    EVENTS,
    NODES,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
)
from partita_plugins.wire.resource_claim import DeviceClass, ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_plugins.wire.taint_rule import DeviceTaintRule
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.cluster.slice_index import indexed
from partita_scheduler.cluster.view import ClusterView, Node, Pod
from partita_scheduler.cluster.watch import parse_minor

VALIDATION_FAILED = "DeviceValidationFailed"
"""Reason of the driver's events."""


class Source(msgspec.Struct, frozen=True):
    host: str = ""


class Event(msgspec.Struct, frozen=True):
    message: str = ""
    source: Source = Source()


def connect(kubeconfig: str | None) -> KubeApi:
    """To the cluster that kubectl would talk to: the option, KUBECONFIG, ~/.kube/config. Raises Permanent."""
    default = Path.home() / ".kube" / "config"
    found = kubeconfig or os.environ.get("KUBECONFIG") or (str(default) if default.exists() else None)
    return KubeApi.connect(found, user_agent="kubectl-partita", pool_size=2)


def validation_failures(api: KubeApi, pod: Pod) -> tuple[str, ...]:
    """What the drivers told the pod of devices that failed; empty where events cannot be read, which decide nothing."""
    selector = f"involvedObject.uid={pod.metadata.uid},reason={VALIDATION_FAILED}"
    try:
        found, _ = api.list(EVENTS, pod.metadata.namespace, as_=Event, fieldSelector=selector)
    except PartitaError:
        return ()
    return tuple(dict.fromkeys(f"{event.message} (node {event.source.host})" for event in found))


def taint_rules(api: KubeApi) -> list[DeviceTaintRule]:
    """All there are. Who may not see them is told so, and sees the rest."""
    try:
        return list_served(api, DEVICE_TAINT_RULES, as_=DeviceTaintRule)
    except Refused as error:
        click.echo(f"DeviceTaintRules are left out, devices that one taints look free: {error}", err=True)
        return []


def fresh_view(api: KubeApi) -> ClusterView:
    """The cluster now, without anybody's assumptions. Raises ApiError or Unavailable."""
    server_minor = parse_minor(api.request("GET", "/version"))
    slices = api.list(RESOURCE_SLICES, as_=ResourceSlice)[0]
    rules, everything = taint_rules(api), rules_for(server_minor).rule_without_selector_taints_all
    claims = api.list(RESOURCE_CLAIMS, as_=ResourceClaim)[0]
    return ClusterView(
        nodes={node.metadata.name: node for node in api.list(NODES, as_=Node)[0]},
        slices=indexed(slices, rules, all_without_selector=everything),
        classes={found.metadata.name: found for found in api.list(DEVICE_CLASSES, as_=DeviceClass)[0]},
        claims={(claim.metadata.namespace, claim.metadata.name): claim for claim in claims},
        server_minor=server_minor,
    )
