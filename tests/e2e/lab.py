"""The real cluster as the scenarios use it: make pods and claims, look from inside containers, break things."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound
from partita_plugins.kube.resources import EVENTS, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource_claim import AllocationResult, ResourceClaim
from partita_plugins.wire.resource_slice import Device, ResourceSlice

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "hack" / "cluster"
BUSYBOX = "partita.dev/busybox:1"
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"]
"""Leaves at once when asked, so that a pod is deleted the ordinary way and quickly."""

DEADLINE_SECONDS = 60.0

POKE_SECONDS = 3.0
"""From one try that a scenario asks of the kubelet to the next."""

NOW: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}

T = TypeVar("T")
Json = dict[str, Any]


class TimedOutError(AssertionError):
    """Something that a scenario waits for did not happen."""


def run(
    *command: str | Path,
    timeout_seconds: float = 120,
    check: bool = True,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Standard output of a command. Raises AssertionError with what it said when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        input=stdin,
        check=False,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    assert not check or done.returncode == 0, f"{command} failed ({done.returncode}): {done.stderr}\n{done.stdout}"
    return done.stdout


def until(what: str, probe: Callable[[], T | None], seconds: float = DEADLINE_SECONDS, pause: float = 0.1) -> T:
    """The first answer of `probe` that is not None or False. Raises TimedOutError that names what was awaited."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimedOutError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)


@dataclass(frozen=True, slots=True)
class Inside:
    """What a container sees: device nodes by path with (major, minor), and its environment."""

    nodes: dict[str, tuple[int, int]]
    env: dict[str, str]

    @property
    def gpus(self) -> dict[str, tuple[int, int]]:
        """Only /dev/nvidiaN: control nodes left out."""
        return {path: numbers for path, numbers in self.nodes.items() if path[len("/dev/nvidia") :].isdigit()}

    @property
    def caps(self) -> dict[str, tuple[int, int]]:
        return {path: numbers for path, numbers in self.nodes.items() if path.startswith("/dev/nvidia-caps/")}

    def values(self, key: str) -> list[str]:
        """Values of every PARTITA_<REQUEST>_<INDEX>_<KEY>, in order of their names."""
        return [v for k, v in sorted(self.env.items()) if k.startswith("PARTITA_") and k.endswith(f"_{key}")]


@dataclass(slots=True)
class Lab:
    """One namespace on the real cluster."""

    api: KubeApi
    namespace: str
    node_names: tuple[str, ...] = ("node-a", "node-b")
    made: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        return run(CLUSTER, "kubectl", *arguments, stdin=stdin, check=check)

    def claim(self, name: str, *requests: Json, **spec: Any) -> None:
        """Make a ResourceClaim. A request is made by `request()`."""
        body = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name},
            "spec": {"devices": {"requests": list(requests), **spec}},
        }
        self.api.create(RESOURCE_CLAIMS, body, self.namespace)

    def template(self, name: str, *requests: Json, **spec: Any) -> None:
        body = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"spec": {"devices": {"requests": list(requests), **spec}}},
        }
        self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def pod(
        self,
        name: str,
        *,
        claim: str | None = None,
        template: str | None = None,
        containers: Sequence[str] = ("main",),
        node: str | None = None,
        **spec: Any,
    ) -> None:
        """Make a pod whose containers all use one claim (or none)."""
        claims: list[Json] = []
        if claim:
            claims = [{"name": "gpu", "resourceClaimName": claim}]
        if template:
            claims = [{"name": "gpu", "resourceClaimTemplateName": template}]
        self.create_pod(name, pod_spec(containers, claims, node, **spec))

    def create_pod(self, name: str, spec: Json) -> None:
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self.api.create(PODS, body, self.namespace)
        self.made.append(name)

    def read_pod(self, name: str) -> Json | None:
        try:
            return self.api.get(PODS, name, self.namespace, as_=dict[str, Any])
        except NotFound:
            return None

    def running(self, *names: str, seconds: float = DEADLINE_SECONDS) -> list[Json]:
        """The pods, once all of them run."""
        return [self._await_running(name, seconds) for name in names]

    def _await_running(self, name: str, seconds: float) -> Json:
        try:
            return until(f"pod {name} runs", lambda: self._running(name), seconds)
        except TimedOutError as error:
            raise TimedOutError(f"{error}; its events: {self.tell(name)}") from None

    def _running(self, name: str) -> Json | None:
        pod = self.read_pod(name)
        return pod if pod and pod.get("status", {}).get("phase") == "Running" else None

    def poke(self, name: str) -> None:
        """Let the kubelet look at a pod now: after a failed Prepare it waits for up to 90 s, or for any change."""
        self.api.patch(PODS, name, {"metadata": {"annotations": {"poked": secrets.token_hex(4)}}}, self.namespace)

    def running_when_poked(self, name: str, seconds: float = DEADLINE_SECONDS) -> Json:
        """The pod, once it runs: the kubelet is made to try again and again."""
        deadline = time.monotonic() + seconds
        while True:
            self.poke(name)
            try:
                return self._await_running(name, POKE_SECONDS)
            except TimedOutError:
                if time.monotonic() > deadline:
                    raise

    def tell(self, name: str) -> str:
        """Events of a pod, for messages."""
        return " | ".join(f"{e.get('reason')}: {e.get('message')}" for e in self.events(name))[:2000]

    def node_of(self, name: str) -> str:
        pod = self.read_pod(name)
        return str(pod["spec"].get("nodeName", "")) if pod else ""

    def delete_pod(self, *names: str, wait: bool = True) -> None:
        for name in names:
            self.api.delete(PODS, name, self.namespace)
        if wait:
            self.gone(*names)

    def force_delete(self, *names: str) -> None:
        """Take pods out of the API at once, whatever their kubelet does."""
        for name in names:
            self.api.delete(PODS, name, self.namespace, options=NOW)

    def gone(self, *names: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until pods have ended."""
        until(f"pods {names} are gone", lambda: all(self.read_pod(name) is None for name in names), seconds)

    def delete_claim(self, *names: str, wait: bool = False) -> None:
        """`wait`: until they are gone, and nobody takes their devices for held any more."""
        for name in names:
            self.api.delete(RESOURCE_CLAIMS, name, self.namespace)
        if wait:
            until(f"claims {names} are gone", lambda: not {one.metadata.name for one in self.claims()} & set(names))

    def read_claim(self, name: str) -> ResourceClaim:
        return self.api.get(RESOURCE_CLAIMS, name, self.namespace, as_=ResourceClaim)

    def claims(self) -> list[ResourceClaim]:
        return self.api.list(RESOURCE_CLAIMS, self.namespace, as_=ResourceClaim)[0]

    def allocated(self, claim: str) -> list[AllocationResult]:
        """Devices that a claim holds now."""
        allocation = self.read_claim(claim).status.allocation
        return allocation.devices.results if allocation else []

    def events(self, name: str) -> list[Json]:
        listed, _ = self.api.list(
            EVENTS, self.namespace, as_=dict[str, Any], fieldSelector=f"involvedObject.name={name}"
        )
        return listed

    def event(self, name: str, reason: str, contains: str = "", seconds: float = DEADLINE_SECONDS) -> str:
        """The message of an event on an object, once there is one with this reason and text."""

        def find() -> str | None:
            found = [e["message"] for e in self.events(name) if e.get("reason") == reason]
            return next((message for message in found if contains.lower() in message.lower()), None)

        return until(f"event {reason} with {contains!r} on {name}", find, seconds)

    def run_in(self, pod: str, *command: str) -> str:
        """Standard output of a program in a pod's main container."""
        return self.kubectl("exec", "-n", self.namespace, pod, "-c", "main", "--", *command)

    def inside(self, pod: str, container: str = "main") -> Inside:
        """What the container really has, asked from within."""
        script = (
            "for d in /dev/nvidia* /dev/nvidia-caps/*; do [ -c $d ] && stat -c '%n %t %T' $d; done; echo ---; env; true"
        )
        text = self.kubectl("exec", "-n", self.namespace, pod, "-c", container, "--", "sh", "-c", script)
        listed, _, environment = text.partition("---\n")
        nodes = {}
        for line in listed.splitlines():
            path, major, minor = line.split()
            nodes[path] = (int(major, 16), int(minor, 16))
        return Inside(nodes, dict(line.split("=", 1) for line in environment.splitlines() if "=" in line))

    def slices(self, node: str) -> list[ResourceSlice]:
        listed, _ = self.api.list(
            RESOURCE_SLICES, as_=ResourceSlice, fieldSelector=f"spec.nodeName={node},spec.driver={DRIVER_NAME}"
        )
        return sorted(listed, key=lambda s: s.metadata.name)

    def devices(self, node: str) -> dict[str, Device]:
        """What a node publishes, by name."""
        return {device.name: device for piece in self.slices(node) for device in piece.spec.devices}

    def identity(self, name: str) -> tuple[str, str, int]:
        """What changes when a pod or its container is made anew."""
        pod = self.read_pod(name)
        assert pod is not None, f"pod {name} is gone"
        status = pod["status"]["containerStatuses"][0]
        return pod["metadata"]["uid"], status["containerID"], status["restartCount"]

    def holds(self, name: str, node: str, device_class: str = "mig-3g.gpu.partita.dev", **more: Any) -> str:
        """Make a claim and a pod of this name that runs on a node; returns the device it got."""
        self.claim(name, request(device_class=device_class, **more))
        self.pod(name, claim=name, node=node)
        self.running(name)
        [result] = self.allocated(name)
        return result.device

    def scheduled_reason(self, name: str) -> str | None:
        """Message of PodScheduled=False, if the pod is unschedulable."""
        pod = self.read_pod(name) or {}
        for condition in pod.get("status", {}).get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return str(condition.get("message", ""))
        return None


def request(
    name: str = "gpu",
    device_class: str = DRIVER_NAME,
    *,
    count: int = 1,
    memory: str | None = None,
    selectors: Sequence[str] = (),
    **more: Any,
) -> Json:
    """One `exactly` request of a claim."""
    exactly: Json = {"deviceClassName": device_class, "count": count, "allocationMode": "ExactCount", **more}
    if memory:
        exactly["capacity"] = {"requests": {"memory": memory}}
    if selectors:
        exactly["selectors"] = [{"cel": {"expression": expression}} for expression in selectors]
    return {"name": name, "exactly": exactly}


def pod_spec(containers: Sequence[str], claims: Sequence[Json], node: str | None = None, **more: Any) -> Json:
    """A pod that sleeps, every container using all claims."""
    spec: Json = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 2,
        "containers": [
            {
                "name": name,
                "image": BUSYBOX,
                "imagePullPolicy": "Never",
                "command": SLEEP,
                "resources": {"claims": [{"name": claim["name"]} for claim in claims]},
            }
            for name in containers
        ],
        "resourceClaims": list(claims),
        **more,
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return spec


def to_json(value: Any) -> Any:
    """Any API value as plain JSON types."""
    return msgspec.json.decode(msgspec.json.encode(value))
