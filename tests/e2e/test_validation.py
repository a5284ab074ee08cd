"""A planted fault: the faulty device is tainted, the work runs elsewhere, and the device comes back when it is well."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from partita_plugins.kube.resources import EVENTS
from partita_plugins.wire import FAULT_TAINT_KEY
from partita_plugins.wire.device_names import parse_name
from partita_plugins.wire.resource_slice import Device
from tests.e2e.installation import Installation
from tests.e2e.lab import BUSYBOX, CLUSTER, SLEEP, Json, Lab, request, run, until

pytestmark = pytest.mark.computes

IDLE_SECONDS = 5
WORD = "5"
"""Among the first, which a quick look reads too: what nobody has used since its last validation gets no more."""

MENDED_SECONDS = 120
GPUS = 8
"""Of a node: work that takes all of them needs another node once one is broken."""


def test_a_stuck_bit_sends_the_deployments_pod_to_another_device(lab: Lab, installation: Installation) -> None:
    lab.template("whole", request())
    victim = lab.slices("node-a")[1].spec.devices[0]
    with installation.validation(idle=False), _stuck_bit(installation, victim):
        _deploy(lab, nodeSelector={"kubernetes.io/hostname": "node-a"})
        pod = until("the deployment's pod runs", lambda: _running(lab))
        assert victim.attributes["uuid"].string not in lab.inside(pod).values("UUID")
        messages = [e["message"] for e in _events(lab) if "bit 7" in e.get("message", "")]
        assert messages, "no event says what was found"
        tainted = until("the faulty GPU is tainted", lambda: _tainted(lab, "node-a"))
        assert victim.name in tainted
        assert all(_covers(name, victim) for name in tainted)
    until("the taint is lifted after validation passes", lambda: not _tainted(lab, "node-a"), MENDED_SECONDS)


def test_a_fault_in_prepare_brings_the_next_pod_up_on_another_node(lab: Lab, installation: Installation) -> None:
    lab.template("whole", request(count=GPUS))
    victim = lab.slices("node-a")[1].spec.devices[0]
    with installation.validation(idle=False), _stuck_bit(installation, victim):
        with _cordoned(lab, "node-b"):
            _deploy(lab)
            first = until("the first pod is bound to node-a", lambda: _bound(lab), pause=0.02)
            begun = time.monotonic()
        pod = until("the next pod runs", lambda: _running(lab))
        seconds = time.monotonic() - begun
        assert lab.node_of(pod) == "node-b"
        assert pod != first
        assert victim.name in _tainted(lab, "node-a")
        assert not _tainted(lab, "node-b")
        assert "validated before its container started" in _why(lab, pod)
    installation.figure("fault-to-running", moment="prepare", seconds=round(seconds, 2))
    until("the GPU comes back when it passes", lambda: not _tainted(lab, "node-a"), MENDED_SECONDS)


def test_a_fault_while_idle_is_tainted_before_anybody_asks_and_work_runs_on_another_node(
    lab: Lab, installation: Installation
) -> None:
    lab.template("whole", request(count=GPUS))
    victim = lab.slices("node-a")[1].spec.devices[0]
    with installation.validation(idle=True, idleSeconds=IDLE_SECONDS):
        with _stuck_bit(installation, victim):
            planted = time.monotonic()
            until("the idle GPU is tainted", lambda: victim.name in _tainted(lab, "node-a"), MENDED_SECONDS)
            tainted = time.monotonic()
            assert "NoSchedule" in _effects(lab, victim.name)
            said = until("an event on the Node says what was found", lambda: _on_node(lab, "bit 7"))
            assert victim.name in said
            _deploy(lab)
            pod = until("the pod runs", lambda: _running(lab))
            running = time.monotonic()
            assert lab.node_of(pod) == "node-b"
            assert len(_pods(lab)) == 1, "a pod was sent to the broken GPU"
        until("the GPU comes back when it passes", lambda: not _tainted(lab, "node-a"), MENDED_SECONDS)
        back = time.monotonic()
    installation.figure(
        "fault-to-running",
        moment="idle",
        tainted_after_seconds=round(tainted - planted, 2),
        seconds=round(running - tainted, 2),
        back_after_seconds=round(back - running, 2),
    )


@contextlib.contextmanager
def _stuck_bit(installation: Installation, victim: Device) -> Iterator[None]:
    uuid = victim.attributes["uuid"].string
    assert uuid is not None
    installation.simulated("node-a", "fault", "stuck-bit", "--gpu", uuid, "--word", WORD, "--bit", "7")
    try:
        yield
    finally:
        installation.simulated("node-a", "lift", "--all")


@contextlib.contextmanager
def _cordoned(lab: Lab, node: str) -> Iterator[None]:
    lab.kubectl("cordon", node)
    try:
        yield
    finally:
        lab.kubectl("uncordon", node)


def _covers(name: str, victim: Device) -> bool:
    """True for the victim's own GPU, its partitions and shares, and groups that it is a member of."""
    parsed, gpu = parse_name(name), parse_name(victim.name)
    return parsed.pci_label == gpu.pci_label or victim.attributes["slot"].int_ in parsed.slots


def _deploy(lab: Lab, **spec: object) -> None:
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": SLEEP,
        "resources": {"claims": [{"name": "gpu"}]},
    }
    template = {
        "metadata": {"labels": {"app": "d"}},
        "spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [container],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "whole"}],
            **spec,
        },
    }
    wanted = {"replicas": 1, "selector": {"matchLabels": {"app": "d"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": wanted}
    lab.kubectl("apply", "-f", "-", "-n", lab.namespace, stdin=json.dumps(deployment))


def _pods(lab: Lab) -> list[Json]:
    found: list[Json] = json.loads(lab.kubectl("get", "pods", "-n", lab.namespace, "-l", "app=d", "-o", "json"))[
        "items"
    ]
    return found


def _running(lab: Lab) -> str | None:
    live = [
        p for p in _pods(lab) if p["status"].get("phase") == "Running" and not p["metadata"].get("deletionTimestamp")
    ]
    return str(live[0]["metadata"]["name"]) if live else None


def _bound(lab: Lab) -> str | None:
    return next((str(p["metadata"]["name"]) for p in _pods(lab) if p["spec"].get("nodeName")), None)


def _events(lab: Lab) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(lab.kubectl("get", "events", "-n", lab.namespace, "-o", "json"))["items"]
    return found


def _on_node(lab: Lab, text: str) -> str | None:
    """The message of a failed validation on node-a itself."""
    fields = "involvedObject.kind=Node,involvedObject.name=node-a,reason=DeviceValidationFailed"
    listed, _ = lab.api.list(EVENTS, "default", as_=dict[str, Any], fieldSelector=fields)
    return next((str(one["message"]) for one in listed if text in one["message"]), None)


def _why(lab: Lab, pod: str) -> str:
    """What the kubectl plugin says of a pod."""
    plugin = Path(sys.executable).with_name("kubectl-partita")
    kubeconfig = {"KUBECONFIG": run(CLUSTER, "kubeconfig").strip()}
    return run(plugin, "why", pod, "-n", lab.namespace, environment=kubeconfig)


def _effects(lab: Lab, name: str) -> set[str | None]:
    return {taint.effect for taint in lab.devices("node-a")[name].taints if taint.key == FAULT_TAINT_KEY}


def _tainted(lab: Lab, node: str) -> set[str]:
    return {
        name
        for name, device in lab.devices(node).items()
        if any(taint.key == FAULT_TAINT_KEY for taint in device.taints)
    }
