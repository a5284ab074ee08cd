"""The driver killed in the middle of its work, and the whole node rebooted under a running pod."""

from __future__ import annotations

import signal

from partita_plugins.backends.simulated import HungCall
from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, request, until
from tests.e2e.node import Node, claim_state

MIG_3G = "mig-3g.gpu.partita.dev"


def test_a_driver_killed_between_gpu_instance_and_compute_instance_starts_over(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    node = nodes["node-a"]
    gpu = node.hardware.machine.hardware.gpus[4]
    driver = installation.driver_uid("node-a")
    with node.broken(HungCall(gpu_uuid=gpu.uuid, call="create_compute_instance")):
        on_gpu = "device.attributes['gpu.partita.dev'].slot == 4"
        lab.claim("p", request(device_class=MIG_3G, selectors=[on_gpu]))
        lab.pod("p", claim="p", node="node-a")
        until("the GPU instance is made", node.instances)
        assert claim_state(node, lab.read_claim("p").metadata.uid) == "intended"
        node.signal_driver(driver, signal.SIGKILL)
        lab.event("p", "FailedPrepareDynamicResources")
    lab.running_when_poked("p")
    assert len(lab.inside("p").caps) == 2
    assert len(node.instances()) == 1


def test_after_a_reboot_a_pods_partition_is_made_again_and_nothing_else_is_left(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    node = nodes["node-b"]
    device = lab.holds("p", "node-b")
    uid, _, restarts = lab.identity("p")
    with node.kubelet_stopped():
        for task in node.execute("ctr", "tasks", "list", "--quiet").split():
            node.execute("ctr", "tasks", "kill", "--signal", "SIGKILL", "--all", task, check=False)
        until("no driver runs", lambda: not node.execute("ctr", "tasks", "list").count("RUNNING"))
        node.as_if_rebooted()
    until("the pod's container was made anew", lambda: lab.identity("p")[2] > restarts)
    lab.running_when_poked("p")
    until("the container is there", lambda: _inside(lab))
    assert lab.identity("p")[0] == uid
    assert [result.device for result in lab.allocated("p")] == [device]
    assert len(node.instances()) == 1
    until("the extender is back", installation.extender_ready)


def _inside(lab: Lab) -> bool:
    shown = lab.kubectl("exec", "-n", lab.namespace, "p", "--", "ls", "/dev/nvidia-caps", check=False)
    return len(shown.split()) == 2
