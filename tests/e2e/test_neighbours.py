"""Another system that hands out the node's GPUs: Partita withholds its own, says so on the Node, and comes back."""

from __future__ import annotations

import json

import pytest

from partita_driver.api.node_condition import CONDITION
from tests.e2e.installation import SYSTEM, Installation
from tests.e2e.lab import Lab, until

TRY = """
import sys
from partita_plugins.kube.api import STRATEGIC_PATCH, KubeApi
from partita_plugins.kube.errors import Refused
from partita_plugins.kube.resources import NODES
node, condition = sys.argv[1:]
patch = {"status": {"conditions": [{"type": condition, "status": "False", "reason": "Test", "message": ""}]}}
try:
    KubeApi.connect().patch(NODES, node, patch, subresource="status", content_type=STRATEGIC_PATCH)
except Refused as error:
    print(error)
"""


def test_gpus_of_a_device_plugin_are_withheld_until_it_is_gone(lab: Lab) -> None:
    before = _open(lab)
    assert before
    lab.holds("p", "node-a")
    kept = lab.identity("p")
    try:
        _device_plugin(lab, "8")
        until("nothing new is offered on node-a", lambda: not _open(lab))
        until("the Node says so", lambda: _condition(lab)["status"] == "True")
        assert "nvidia.com/gpu" in _condition(lab)["message"]
        lab.holds("elsewhere", "node-b")
    finally:
        _device_plugin(lab, None)
    until("all is offered again", lambda: _open(lab) == before)
    until("the Node says so", lambda: _condition(lab)["status"] == "False")
    assert lab.identity("p") == kept, "a pod that runs is left alone"


@pytest.mark.parametrize(
    ("node", "condition", "said"),
    [("node-b", CONDITION, "may not change Node"), ("node-a", "Ready", "no condition of its Node but")],
)
def test_a_driver_can_write_no_other_condition_and_on_no_other_node(
    lab: Lab, installation: Installation, node: str, condition: str, said: str
) -> None:
    pod = installation.driver_pod("node-a")
    assert said in lab.kubectl("exec", "-n", SYSTEM, pod, "--", "python3", "-c", TRY, node, condition)


def _open(lab: Lab) -> set[str]:
    """Devices of node-a that take new claims."""
    return {name for name, device in lab.devices("node-a").items() if not device.taints}


def _device_plugin(lab: Lab, count: str | None) -> None:
    """What NVIDIA's device plugin makes the kubelet say: so many GPUs in the Node's capacity and allocatable."""
    gpus = {"nvidia.com/gpu": count}
    patch = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
    lab.kubectl("patch", "node", "node-a", "--subresource=status", "--type=merge", "-p", patch)


def _condition(lab: Lab) -> dict[str, str]:
    node = json.loads(lab.kubectl("get", "node", "node-a", "-o", "json"))
    return next((one for one in node["status"]["conditions"] if one["type"] == CONDITION), {"status": ""})
