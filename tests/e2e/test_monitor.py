"""A monitor looks at every GPU of its node while others hold them; nobody gets one without admin access."""

from __future__ import annotations

import json

import pytest

from partita_plugins.backends.simulated import GpuLost
from partita_plugins.kube.errors import Refused
from partita_plugins.wire import DRIVER_NAME, MONITOR_TAINT_KEY
from partita_plugins.wire.device_names import MONITOR_NAME
from tests.e2e.lab import CLUSTER, Json, Lab, request, run, until
from tests.e2e.node import Node
from tests.e2e.test_examples import PLUGIN_PATH

MONITOR = f"{MONITOR_NAME}.{DRIVER_NAME}"
TOLERATIONS = [{"key": MONITOR_TAINT_KEY, "operator": "Exists", "effect": "NoSchedule"}]
GPUS = {f"/dev/nvidia{minor}" for minor in range(8)}


def test_a_monitor_starts_beside_pods_that_hold_all_gpus_and_sees_every_one(lab: Lab) -> None:
    _admit_admins(lab)
    held = _fill(lab)
    lab.claim("plain", request(adminAccess=True))
    lab.pod("plain", claim="plain", node="node-a")
    until("admin access to a busy GPU waits", lambda: lab.scheduled_reason("plain"))
    for name in ("monitor", "second"):
        _watch(lab, name)
        inside = lab.inside(name)
        assert inside.gpus.keys() == GPUS
        assert [numbers[1] for numbers in inside.gpus.values()] == list(range(8))
        assert inside.caps.keys() == {"/dev/nvidia-caps/nvidia-cap2"}, "no partition's"
        assert {"/dev/nvidiactl", "/dev/nvidia-uvm"} <= inside.nodes.keys()
        assert len(inside.values("UUID")[0].split(",")) == 8
        assert inside.values("KIND") == [MONITOR_NAME]
    drawn = run(CLUSTER, "kubectl", "partita", "map", environment=PLUGIN_PATH)
    assert f"monitor        {lab.namespace}/second" in drawn
    lab.delete_pod("monitor", "second")
    assert {name: lab.identity(name) for name in held} == held


def test_without_admin_access_nobody_gets_a_monitor(lab: Lab) -> None:
    with pytest.raises(Refused, match="admin"):
        lab.claim("unlabelled", request(device_class=MONITOR, adminAccess=True))
    lab.claim("sly", request(device_class=MONITOR, tolerations=TOLERATIONS))
    lab.pod("sly", claim="sly")
    assert "admin-access" in lab.event("sly", "FailedPrepareDynamicResources", contains="adminAccess: true")
    lab.delete_pod("sly")
    lab.claim("plain", request(device_class=MONITOR))
    lab.pod("plain", claim="plain")
    assert MONITOR_TAINT_KEY in lab.event("plain", "GpuPlacement")


def test_a_claim_for_any_device_waits_for_a_gpu_rather_than_get_the_monitor(lab: Lab) -> None:
    anything = f"anything-{lab.namespace}"
    lab.kubectl("apply", "-f", "-", stdin=json.dumps(_class_of_everything(anything)))
    try:
        _hold_whole(lab, 8)
        lab.claim("any", request(device_class=anything))
        lab.pod("any", claim="any", node="node-a")
        until("there is nothing for it", lambda: lab.scheduled_reason("any"))
        assert not lab.allocated("any")
        lab.delete_pod("whole")
        lab.delete_claim("whole")
        lab.running("any")
        assert lab.allocated("any")[0].device != MONITOR_NAME
    finally:
        lab.kubectl("delete", "deviceclass", anything)


def test_a_monitor_outlives_a_gpu_that_is_lost_and_new_ones_see_it_still(lab: Lab, nodes: dict[str, Node]) -> None:
    _admit_admins(lab)
    _watch(lab, "before")
    identity, node = lab.identity("before"), nodes["node-a"]
    ill = lab.holds("ill", "node-a", device_class=DRIVER_NAME)
    with node.broken(GpuLost(gpu_uuid=node.gpu_of(ill).uuid)):
        lab.gone("ill")
        _watch(lab, "after")
        assert lab.inside("after").gpus.keys() == GPUS
        assert lab.identity("before") == identity
    until("the GPU is well again", lambda: not node.journal().faults, 90)


def _admit_admins(lab: Lab) -> None:
    lab.kubectl("label", "namespace", lab.namespace, "resource.kubernetes.io/admin-access=true")


def _watch(lab: Lab, name: str) -> None:
    """A pod of this name that looks at all GPUs of node-a."""
    lab.claim(name, request(device_class=MONITOR, adminAccess=True, tolerations=TOLERATIONS))
    lab.pod(name, claim=name, node="node-a")
    lab.running(name)
    assert [(one.device, one.admin_access) for one in lab.allocated(name)] == [(MONITOR_NAME, True)]


def _fill(lab: Lab) -> dict[str, tuple[str, str, int]]:
    """Pods that hold a part of one GPU of node-a and all of the others, by name."""
    lab.holds("part", "node-a")
    _hold_whole(lab, 7)
    return {name: lab.identity(name) for name in ("part", "whole")}


def _hold_whole(lab: Lab, count: int) -> None:
    lab.claim("whole", request(count=count))
    lab.pod("whole", claim="whole", node="node-a")
    lab.running("whole")


def _class_of_everything(name: str) -> Json:
    selectors = [{"cel": {"expression": f"device.driver == '{DRIVER_NAME}'"}}]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": selectors},
    }
