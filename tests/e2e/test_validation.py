"""A planted fault: the pod starts on another device, the faulty one is tainted, and comes back when it is well."""

import json

import pytest

from partita_plugins.wire import FAULT_TAINT_KEY
from partita_plugins.wire.device_names import parse_name
from partita_plugins.wire.resource import Device
from tests.e2e.installation import Installation
from tests.e2e.lab import BUSYBOX, SLEEP, Lab, request, until

pytestmark = pytest.mark.computes


def test_a_stuck_bit_sends_the_deployments_pod_to_another_device(lab: Lab, installation: Installation) -> None:
    lab.template("whole", request())
    victim = lab.slices("node-a")[1].spec.devices[0]
    uuid = victim.attributes["uuid"].string
    assert uuid is not None
    installation.simulated("node-a", "fault", "stuck-bit", "--gpu", uuid, "--word", "12345", "--bit", "7")
    try:
        lab.kubectl("apply", "-f", "-", "-n", lab.namespace, stdin=json.dumps(_deployment()))
        pod = until("the deployment's pod runs", lambda: _running(lab), 60)
        assert uuid not in lab.inside(pod).values("UUID")
        messages = [e["message"] for e in _events(lab) if "bit 7" in e.get("message", "")]
        assert messages, "no event says what was found"
        tainted = until("the faulty GPU is tainted", lambda: _tainted(lab))
        assert victim.name in tainted
        assert all(_covers(name, victim) for name in tainted)
    finally:
        installation.simulated("node-a", "lift", "--all")
    until("the taint is lifted after validation passes", lambda: not _tainted(lab), 120)


def _covers(name: str, victim: Device) -> bool:
    """True for the victim's own GPU, its partitions and shares, and groups that it is a member of."""
    parsed, gpu = parse_name(name), parse_name(victim.name)
    return parsed.pci_label == gpu.pci_label or victim.attributes["slot"].int_ in parsed.slots


def _deployment() -> dict[str, object]:
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
            "nodeSelector": {"kubernetes.io/hostname": "node-a"},
            "containers": [container],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "whole"}],
        },
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "d"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def _running(lab: Lab) -> str | None:
    pods = json.loads(lab.kubectl("get", "pods", "-n", lab.namespace, "-l", "app=d", "-o", "json"))["items"]
    live = [p for p in pods if p["status"].get("phase") == "Running" and not p["metadata"].get("deletionTimestamp")]
    return str(live[0]["metadata"]["name"]) if live else None


def _events(lab: Lab) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(lab.kubectl("get", "events", "-n", lab.namespace, "-o", "json"))["items"]
    return found


def _tainted(lab: Lab) -> list[str]:
    return [
        device.name
        for piece in lab.slices("node-a")
        for device in piece.spec.devices
        if any(taint.key == FAULT_TAINT_KEY for taint in device.taints)
    ]
