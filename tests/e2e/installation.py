"""Partita installed on the real cluster from its image and manifests, and the levers that scenarios pull."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.endpoint import Endpoint
from tests.e2e.lab import CLUSTER, ROOT, run, until
from tests.e2e.node import Node, all_nodes
from tests.e2e.nvml_node import lay_out

SYSTEM = "partita-system"
MACHINE_LABEL = "gpu.partita.dev/simulated-machine"
OFFER_LABEL = "gpu.partita.dev/offer"
SETTINGS = "partita-nodes"
SCHEDULER_SETTINGS = "partita-scheduler-settings"
STATE = "/var/lib/partita/simulated"
EXTENDER = "https://127.0.0.1:8888"
EXTENDER_NAME = "partita-scheduler.partita-system.svc"  # in its certificate
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Installation:
    """The DaemonSet, the Deployment, and the kube-scheduler stanza between them."""

    folder: Path
    backend: str = "simulated"
    """Where the drivers get their GPUs from: "nvml" is our C library over the same simulated hardware."""

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def stanza(self) -> Path:
        return self.folder / "kube-scheduler-config.yaml"

    def kubectl(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        return run(CLUSTER, "kubectl", *arguments, check=check, stdin=stdin)

    def driver_pod(self, node: str) -> str:
        """The driver pod of a node, once it is ready and the kubelet has registered it."""

        def find() -> str | None:
            alive = [pod for pod in self._driver_pods(node) if not pod["metadata"].get("deletionTimestamp")]
            ready = [pod for pod in alive if _is_ready(pod)]
            names = [str(pod["metadata"]["name"]) for pod in ready]
            return next((name for name in names if self._registered(name)), None)

        return until(f"a registered driver pod on {node}", find, 90)

    def driver_uid(self, node: str) -> str:
        """UID of the driver pod that the kubelet has registered; its sockets carry it."""
        name = self.driver_pod(node)
        return next(str(p["metadata"]["uid"]) for p in self._driver_pods(node) if p["metadata"]["name"] == name)

    @contextlib.contextmanager
    def driver_paused(self, node: Node) -> Iterator[None]:
        """The driver's process stands still: calls reach it and are not answered."""
        uid = self.driver_uid(node.name)
        node.signal_driver(uid, signal.SIGSTOP)
        try:
            yield
        finally:
            node.signal_driver(uid, signal.SIGCONT)

    @contextlib.contextmanager
    def without_driver(self, node: str) -> Iterator[None]:
        """No driver on a node: its label says that it has no GPUs."""
        machine = self.machine(node)
        self.kubectl("label", "node", node, f"{MACHINE_LABEL}-")
        until(f"the driver on {node} is gone", lambda: not self._driver_pods(node), 90)
        try:
            yield
        finally:
            self.kubectl("label", "node", node, f"{MACHINE_LABEL}={machine}", "--overwrite")
            self.driver_pod(node)

    def feature(self, gate: str) -> bool:
        """Whether a feature gate is on in this cluster."""
        metrics = self.kubectl("get", "--raw", "/metrics")
        return re.search(rf'^kubernetes_feature_enabled{{name="{gate}",.*}} 1$', metrics, re.MULTILINE) is not None

    def machine(self, node: str) -> str:
        """Which machine a node plays."""
        return str(self._node(node)["metadata"]["labels"].get(MACHINE_LABEL, ""))

    def _node(self, node: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "node", node, "-o", "json"))
        return found

    def _registered(self, name: str) -> bool:
        return "registered with the kubelet" in self.kubectl("logs", "-n", SYSTEM, name, check=False)

    def _driver_pods(self, node: str) -> list[dict[str, Any]]:
        selector = ("-l", "app.kubernetes.io/name=partita-driver", "--field-selector", f"spec.nodeName={node}")
        pods: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-n", SYSTEM, *selector, "-o", "json"))[
            "items"
        ]
        return pods

    def restart_driver(self, node: str) -> None:
        """Kill the node's driver pod at once and wait for its successor."""
        old = self.driver_pod(node)
        self.kubectl("delete", "pod", "-n", SYSTEM, old, "--grace-period=0", "--force")
        until(f"another driver pod on {node}", lambda: self.driver_pod(node) != old, 90)

    def become(self, machines: dict[str, str]) -> None:
        """Turn nodes into other machines: the driver leaves, its node's hardware is wiped, another machine comes."""
        machines = {node: machine for node, machine in machines.items() if self.machine(node) != machine}
        for node in machines:
            self.kubectl("label", "node", node, f"{MACHINE_LABEL}-")
        until("the drivers are gone", lambda: not any(self._driver_pods(node) for node in machines), 90)
        for node, machine in machines.items():
            # What the kubelet does when no driver has been registered for 30 s.
            self.kubectl("delete", "resourceslices", "--field-selector", f"spec.nodeName={node}")
            run(CLUSTER, "node-exec", node, "--", "find", "/var/lib/partita", "-mindepth", "1", "-delete")
            if self.backend == "nvml":
                lay_out(all_nodes()[node], machine)
            self.kubectl("label", "node", node, f"{MACHINE_LABEL}={machine}", "--overwrite")
        for node in machines:
            self.driver_pod(node)

    @contextlib.contextmanager
    def offer(self, node: str, kind: str) -> Iterator[None]:
        """What a node offers meanwhile, by the label that the settings select on."""
        self.kubectl("label", "node", node, f"{OFFER_LABEL}={kind}", "--overwrite")
        try:
            yield
        finally:
            self.kubectl("label", "node", node, f"{OFFER_LABEL}-")

    @contextlib.contextmanager
    def settings(self, text: str) -> Iterator[None]:
        """Other settings of all nodes meanwhile."""
        before = json.loads(self.kubectl("get", "configmap", "-n", SYSTEM, SETTINGS, "-o", "json"))["data"]
        self._set_settings({"nodes.yaml": text})
        try:
            yield
        finally:
            self._set_settings(before)

    @contextlib.contextmanager
    def validation(self, **fields: object) -> Iterator[None]:
        """The nodes' settings with another `validation` meanwhile."""
        found = json.loads(self.kubectl("get", "configmap", "-n", SYSTEM, SETTINGS, "-o", "json"))["data"]["nodes.yaml"]
        entries = yaml.safe_load(found)["nodes"]
        before = self._times_in_force()
        # A dictionary for each: YAML would refer to the same one, which the settings do not take.
        with self.settings(yaml.safe_dump({"nodes": [{**entry, "validation": dict(fields)} for entry in entries]})):
            until("the settings are in force", lambda: all(map(int.__lt__, before, self._times_in_force())))
            yield

    def _times_in_force(self) -> list[int]:
        """How often each node's driver has taken settings over."""
        pods = [self.driver_pod(name) for name in sorted(all_nodes())]
        return [self.kubectl("logs", "-n", SYSTEM, pod).count("settings in force") for pod in pods]

    def _set_settings(self, data: dict[str, str]) -> None:
        patch = json.dumps({"data": data})
        self.kubectl("patch", "configmap", "-n", SYSTEM, SETTINGS, "--type=merge", "-p", patch)

    def simulated(self, node: str, *arguments: str) -> str:
        """The simulated backend's own tool, inside the node's driver pod."""
        tool = ("python3", "-m", "partita_plugins.backends.simulated", *arguments, "--state", STATE)
        return self.kubectl("exec", "-n", SYSTEM, self.driver_pod(node), "--", *tool)

    def use_extender(self, *, on: bool) -> None:
        """kube-scheduler with or without our stanza."""
        run(CLUSTER, "scheduler-config", *([self.stanza] if on else ["--default"]))

    @contextlib.contextmanager
    def asked(self, *options: str, url: str = EXTENDER) -> Iterator[None]:
        """kube-scheduler meanwhile with the stanza that these options print."""
        of_tls = ("--certificates", self.certificates, "--server-name", EXTENDER_NAME)
        file = self.folder / "another-stanza.yaml"
        file.write_text(run(PROGRAMS / "partita-scheduler", "stanza", "--url", url, *of_tls, *options))
        run(CLUSTER, "scheduler-config", file)
        try:
            yield
        finally:
            self.use_extender(on=True)

    @contextlib.contextmanager
    def scheduler_settings(self, text: str) -> Iterator[None]:
        """The extender meanwhile with this settings file, by the component that is shipped for it."""
        target = self.folder / "with-settings"
        target.mkdir(exist_ok=True)
        settings = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": SCHEDULER_SETTINGS, "namespace": SYSTEM},
        }
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../overlay"],
            "components": [os.path.relpath(ROOT / "manifests" / "components" / "scheduler-settings", target)],
            "patches": [{"patch": json.dumps({**settings, "data": {"settings.yaml": text}})}],
        }
        (target / "kustomization.yaml").write_text(json.dumps(kustomization))
        self._apply_scheduler(target)
        try:
            yield
        finally:
            self._apply_scheduler(self.folder / "overlay")
            self.kubectl("delete", "configmap", "-n", SYSTEM, SCHEDULER_SETTINGS)

    @contextlib.contextmanager
    def handing_over(self, seconds: float) -> Iterator[None]:
        """The extender meanwhile with so much time for another to take over."""
        variable = f"PARTITA_HANDOVER_SECONDS={seconds:g}"
        self.kubectl("set", "env", "-n", SYSTEM, "deployment/partita-scheduler", variable)
        self._await_scheduler()
        try:
            yield
        finally:
            self._apply_scheduler(self.folder / "overlay")

    def extender_pods(self) -> dict[str, tuple[bool, bool]]:
        """Whether each is Ready, and whether it is ending."""
        chosen = ("-l", "app.kubernetes.io/name=partita-scheduler")
        pods = json.loads(self.kubectl("get", "pods", "-n", SYSTEM, *chosen, "-o", "json"))["items"]
        return {pod["metadata"]["name"]: (_is_ready(pod), "deletionTimestamp" in pod["metadata"]) for pod in pods}

    def _apply_scheduler(self, kustomization: Path) -> None:
        self.kubectl("apply", "-k", str(kustomization))
        self._await_scheduler()

    def _await_scheduler(self) -> None:
        self.kubectl("rollout", "status", "-n", SYSTEM, "deployment/partita-scheduler", "--timeout=90s")
        until("the extender is ready", self.extender_ready, 90)

    def restart_scheduler_with(self, text: str) -> None:
        """Another settings file, as somebody edits it; does not wait."""
        patch = json.dumps({"data": {"settings.yaml": text}})
        self.kubectl("patch", "configmap", "-n", SYSTEM, SCHEDULER_SETTINGS, "--type=merge", "-p", patch)
        self.kubectl("rollout", "restart", "-n", SYSTEM, "deployment/partita-scheduler")

    def scheduler_ended_with(self) -> str:
        """What the extender's containers said that ended; empty while none has."""
        chosen = ("-l", "app.kubernetes.io/name=partita-scheduler")
        pods = json.loads(self.kubectl("get", "pods", "-n", SYSTEM, *chosen, "-o", "json"))["items"]
        states = [
            state
            for pod in pods
            for one in pod["status"].get("containerStatuses", [])
            for state in (one["state"], one["lastState"])
        ]
        return " ".join(state["terminated"].get("message", "") for state in states if "terminated" in state).strip()

    def scale_extender(self, replicas: int) -> None:
        self.kubectl("scale", "-n", SYSTEM, "deployment/partita-scheduler", f"--replicas={replicas}")
        if replicas:
            until("the extender is ready", self.extender_ready, 90)
        else:
            until("the extender is gone", lambda: not self.extender_ready(), 90)

    def figure(self, name: str, **values: object) -> None:
        """Keep a measured figure; the run prints them at its end."""
        with (self.stanza.parent / "figures.jsonl").open("a") as lines:
            lines.write(json.dumps({"figure": name, **values}) + "\n")

    @property
    def extender(self) -> Endpoint:
        return Endpoint.with_certificates(EXTENDER, self.certificates)

    def extender_ready(self) -> bool:
        return self.extender.ready()


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
