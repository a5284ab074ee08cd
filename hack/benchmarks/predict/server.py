"""What the real kube-scheduler does with cases: many at a time on nodes that exist in the API only.

Each case has a node, pools and a driver of its own, so cases do not meet. A pod of the batch's own comes last: when it
is scheduled, kube-scheduler has seen everything that was written before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import msgspec
from hack.benchmarks.predict.case import ALLOCATED, ERROR, EXTENDED, UNSCHEDULABLE, Case, Json, Outcome, told
from hack.benchmarks.predict.witness import FREE, Witness, witness

from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.optional import served
from partita_plugins.kube.resources import (
    DEVICE_CLASSES,
    DEVICE_TAINT_RULES,
    NODES,
    PODS,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    Resource,
)
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_scheduler.allocator.in_use import EXTENDED_CLAIM_ANNOTATION

WRITERS = 8
DEADLINE_SECONDS = 300.0
"""For a batch on a machine that has much else to do; it takes seconds on one that has not."""

POLL_SECONDS = 0.3
NAMESPACES = Resource("v1", "namespaces", namespaced=False)
ACCOUNTS = Resource("v1", "serviceaccounts", namespaced=True)
NOW: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
ADMIN_LABEL = "resource.kubernetes.io/admin-access"

KINDS = {
    NODES: ("v1", "Node"),
    PODS: ("v1", "Pod"),
    DEVICE_CLASSES: ("resource.k8s.io/v1", "DeviceClass"),
    RESOURCE_SLICES: ("resource.k8s.io/v1", "ResourceSlice"),
    RESOURCE_CLAIMS: ("resource.k8s.io/v1", "ResourceClaim"),
    **{one: (one.group_version, "DeviceTaintRule") for one in DEVICE_TAINT_RULES},
}


class CaseRefused(Exception):
    """The API server refuses an object of a case: the generator made something that cannot be."""


class NoAnswer(Exception):
    """kube-scheduler says nothing for long."""


class Batch:
    """Some cases in one namespace."""

    def __init__(self, api: KubeApi, name: str) -> None:
        self._api, self.name = api, name
        rules = served(api, DEVICE_TAINT_RULES)
        if rules is None:
            raise CaseRefused("the API server has no DeviceTaintRules: --runtime-config asks for them")
        self._rules = rules
        self._witnesses = count()

    def play(self, cases: Sequence[Case]) -> list[tuple[Case, Outcome]]:
        """Each case as the API server has it, and what kube-scheduler did with its pod."""
        self._open()
        try:
            with ThreadPoolExecutor(WRITERS) as writers:
                stored = list(writers.map(self._write, cases))
                self._wait_until_seen()
                pods = list(writers.map(lambda case: self._create(PODS, case.pod), stored))
            stored = [msgspec.structs.replace(case, pod=pod) for case, pod in zip(stored, pods, strict=True)]
            return list(zip(stored, self._outcomes(stored), strict=True))
        finally:
            self._close()

    def _open(self) -> None:
        metadata = {"name": self.name, "labels": {ADMIN_LABEL: "true"}}
        self._api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        self._api.create(ACCOUNTS, account, self.name)

    def _close(self) -> None:
        """Claims stay: nobody is there to take their finalizers off, and they are in nobody's way."""
        self._api.request("DELETE", PODS.path(namespace=self.name), body=NOW)
        for resource in (self._rules, RESOURCE_SLICES, NODES, DEVICE_CLASSES):
            self._api.request("DELETE", resource.path(), body=NOW, timeout_seconds=60)

    def _write(self, case: Case) -> Case:
        return Case(
            number=case.number,
            rules=[self._create(self._rules, one) for one in case.rules],
            node=self._create(NODES, case.node),
            classes=[self._create(DEVICE_CLASSES, one) for one in case.classes],
            slices=[self._create(RESOURCE_SLICES, one) for one in case.slices],
            claims=[self._claim(one) for one in case.claims],
            pod=case.pod,
        )

    def _claim(self, body: Json) -> Json:
        created = self._create(RESOURCE_CLAIMS, body)
        if "status" not in body:
            return created
        name = body["metadata"]["name"]
        changed = {**created, "status": body["status"]}
        return _stored(self._send(f"claim {name}", lambda: self._allocate(name, changed)))

    def _allocate(self, name: str, body: Json) -> bytes:
        return self._api.replace(RESOURCE_CLAIMS, name, body, self.name, "status")

    def _create(self, resource: Resource, body: Json) -> Json:
        version, kind = KINDS[resource]
        full = {"apiVersion": version, "kind": kind, **body}
        what = f"{kind} {body['metadata']['name']}"
        return _stored(self._send(what, lambda: self._api.create(resource, full, self.name)))

    def _send(self, what: str, call: Callable[[], bytes]) -> bytes:
        try:
            return call()
        except PartitaError as error:
            raise CaseRefused(f"{what}: {error}") from error

    def _wait_until_seen(self) -> None:
        name = f"last-{self.name}"
        self._create(NODES, {"metadata": {"name": name}, "status": {"allocatable": {"cpu": "1", "pods": "9"}}})
        self._create(DEVICE_CLASSES, {"metadata": {"name": name}, "spec": {}})
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._has_seen(witness(f"{name}-{next(self._witnesses)}", name), deadline):
            if time.monotonic() > deadline:
                raise NoAnswer("kube-scheduler takes no notice of DeviceTaintRules: is DRADeviceTaintRules off?")

    def _has_seen(self, last: Witness, deadline: float) -> bool:
        """Whether kube-scheduler, which knows the last slice when it places the last pod, knew the last rule too."""
        self._create(self._rules, last.rule)
        self._create(RESOURCE_SLICES, last.slice_)
        self._create(RESOURCE_CLAIMS, last.claim)
        self._create(PODS, last.pod)
        name = last.pod["metadata"]["name"]
        while not self._api.get(PODS, name, self.name, as_=dict[str, Any])["spec"].get("nodeName"):
            if time.monotonic() > deadline:
                raise NoAnswer("kube-scheduler does not schedule: hack/cluster logs kube-scheduler")
            time.sleep(POLL_SECONDS / 3)
        allocation = self._api.get(RESOURCE_CLAIMS, name, self.name, as_=ResourceClaim).status.allocation
        return allocation is not None and allocation.devices.results[0].device == FREE

    def _outcomes(self, cases: Sequence[Case]) -> list[Outcome]:
        found: dict[int, Outcome] = {}
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(found) < len(cases):
            if time.monotonic() > deadline:
                waiting = next(case.number for case in cases if case.number not in found)
                raise NoAnswer(f"kube-scheduler says nothing about the pod of case {waiting}: play it alone, --case")
            time.sleep(POLL_SECONDS)
            pods = {one["metadata"]["name"]: one for one in self._api.list(PODS, self.name, as_=dict[str, Any])[0]}
            claims = _by_name_and_owner(self._api.list(RESOURCE_CLAIMS, self.name, as_=ResourceClaim)[0])
            for case in cases:
                if case.number not in found:
                    outcome = _outcome(case, pods[case.pod["metadata"]["name"]], claims)
                    if outcome is not None:
                        found[case.number] = outcome
        return [found[case.number] for case in cases]


def _outcome(case: Case, pod: Json, claims: dict[str, ResourceClaim]) -> Outcome | None:
    """None while there is none. A pod whose devices have binding conditions is never bound here.

    The last thing that kube-scheduler does before it waits for them is to tell the pod of its extended resources.
    """
    names = [one["metadata"]["name"] for one in case.claims if not one.get("status", {}).get("allocation")]
    own = {name: claims[name] for name in names if claims[name].status.allocation is not None}
    extended = claims.get(pod["metadata"]["uid"])
    if extended is not None and extended.status.allocation is not None:
        own[EXTENDED] = extended
    bound = bool(pod["spec"].get("nodeName"))
    asks_for_extended = bool(pod["spec"]["containers"][0]["resources"].get("requests"))
    told_of_extended = "extendedResourceClaimStatus" in pod["status"] or not asks_for_extended
    if bound or (own and all(name in own for name in names) and told_of_extended):
        told_claims = {name: told(one.status.allocation) for name, one in own.items() if one.status.allocation}
        return Outcome(kind=ALLOCATED, claims=told_claims)
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            kind = UNSCHEDULABLE if condition["reason"] == "Unschedulable" else ERROR
            return Outcome(kind=kind, message=condition.get("message", ""))
    return None


def _by_name_and_owner(claims: Iterable[ResourceClaim]) -> dict[str, ResourceClaim]:
    """By name; one that kube-scheduler made for extended resources by its pod's UID."""
    found: dict[str, ResourceClaim] = {}
    for one in claims:
        found[one.metadata.name] = one
        if one.metadata.annotations.get(EXTENDED_CLAIM_ANNOTATION) == "true":
            found |= {owner.uid: one for owner in one.metadata.owner_references}
    return found


def _stored(raw: bytes) -> Json:
    body: Json = msgspec.json.decode(raw)
    # Where the request itself came from is a kilobyte, and nothing here depends on it.
    body["metadata"].pop("managedFields", None)
    return body
