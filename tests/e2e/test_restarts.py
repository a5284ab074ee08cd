"""Parts that go away and come back: pods that run are untouched, and can be deleted afterwards."""

import pytest

from tests.e2e.installation import Installation
from tests.e2e.lab import CLUSTER, Lab, request, run, until

MIG_3G = "mig-3g.gpu.partita.dev"


@pytest.fixture
def pod(lab: Lab) -> str:
    lab.claim("held", request(device_class=MIG_3G))
    lab.pod("held", claim="held", node="node-a")
    lab.running("held")
    return "held"


def test_a_driver_restart_leaves_a_running_pod_alone(lab: Lab, installation: Installation, pod: str) -> None:
    before = lab.identity(pod)
    inside = lab.inside(pod)
    installation.restart_driver("node-a")
    assert lab.identity(pod) == before
    assert lab.inside(pod).caps == inside.caps
    lab.delete_pod(pod)
    _can_be_used_again(lab)


def test_a_kubelet_restart_leaves_a_running_pod_alone_and_brings_the_slices_back(lab: Lab, pod: str) -> None:
    before = lab.identity(pod)
    run(CLUSTER, "restart", "kubelet-node-a")
    until("the slices are back", lambda: lab.slices("node-a"), 60)
    until("the node is ready", lambda: _ready(lab, "node-a"), 60)
    assert lab.identity(pod) == before
    lab.delete_pod(pod)
    _can_be_used_again(lab)


def test_without_the_extender_pods_without_claims_still_schedule(lab: Lab, installation: Installation) -> None:
    installation.scale_extender(0)
    try:
        lab.pod("plain")
        lab.running("plain")
        lab.claim("one", request())
        lab.pod("gpu", claim="one")
        lab.running("gpu")
    finally:
        installation.scale_extender(1)


def _ready(lab: Lab, node: str) -> bool:
    return "True" in lab.kubectl("get", "node", node, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}")


def _can_be_used_again(lab: Lab) -> None:
    lab.delete_claim("held")
    for index in range(2):
        lab.claim(f"again-{index}", request(device_class=MIG_3G))
        lab.pod(f"again-{index}", claim=f"again-{index}", node="node-a")
    lab.running("again-0", "again-1")
