"""Of two nodes that fit, the right one: 20 of 20 with the extender, and how often without it."""

import pytest

from tests.e2e.installation import Installation
from tests.e2e.lab import CLUSTER, Lab, request, run

TRIALS_PER_ARRANGEMENT = 10


def _arrangements(one: str, other: str) -> list[dict[str, str]]:
    return [{"node-a": one, "node-b": other}, {"node-a": other, "node-b": one}]


def _told(installation: Installation) -> str:
    """What the extender and kube-scheduler tell of questions that had no answer."""
    ignored = [line for line in run(CLUSTER, "logs", "kube-scheduler").splitlines() if "Skipping extender" in line]
    return f"no opinion {installation.extender.counted('no_opinion', 'reason')}, kube-scheduler {ignored[-2:]}"


def _pairs_on_nvlink(lab: Lab, installation: Installation, nvlink_node: str, prefix: str) -> list[str]:
    """What is told of the pods that went to the other node."""
    missed: list[str] = []
    for trial in range(TRIALS_PER_ARRANGEMENT):
        name = f"{prefix}-{trial}"
        lab.claim(name, request(count=2))
        lab.pod(name, claim=name)
        lab.running(name)
        if lab.node_of(name) != nvlink_node:
            missed.append(f"{name}: {_told(installation)}")
        lab.delete_pod(name)
        lab.delete_claim(name)
    return missed


@pytest.mark.parametrize("extender", [True, False], ids=["with-extender", "without"])
def test_a_two_gpu_pod_goes_to_the_node_with_nvlink(lab: Lab, installation: Installation, extender: bool) -> None:
    missed: list[str] = []
    for index, machines in enumerate(_arrangements("hgx-h100", "rtx-pro-6000-x8")):
        installation.become(machines)
        installation.use_extender(on=extender)
        nvlink = next(node for node, machine in machines.items() if machine == "hgx-h100")
        missed += _pairs_on_nvlink(lab, installation, nvlink, f"t{index}")
    installation.use_extender(on=True)
    installation.become({"node-a": "hgx-h100", "node-b": "hgx-h100"})
    trials = 2 * TRIALS_PER_ARRANGEMENT
    installation.figure("two-gpu-pod-on-nvlink", hits=trials - len(missed), of=trials, extender=extender)
    if extender:
        assert not missed


@pytest.mark.parametrize("extender", [True, False], ids=["with-extender", "without"])
def test_a_small_pod_goes_to_the_fragmented_node(lab: Lab, installation: Installation, extender: bool) -> None:
    installation.become({"node-a": "hgx-h100", "node-b": "hgx-h100"})
    installation.use_extender(on=extender)
    hits = 0
    for fragmented in ("node-a", "node-b"):
        lab.claim(f"there-{fragmented}", request(device_class="mig-3g.gpu.partita.dev"))
        lab.pod(f"there-{fragmented}", claim=f"there-{fragmented}", node=fragmented)
        lab.running(f"there-{fragmented}")
        for trial in range(TRIALS_PER_ARRANGEMENT):
            name = f"small-{fragmented}-{trial}"
            lab.claim(name, request(device_class="mig-1g.gpu.partita.dev"))
            lab.pod(name, claim=name)
            lab.running(name)
            hits += lab.node_of(name) == fragmented
            lab.delete_pod(name)
            lab.delete_claim(name)
        lab.delete_pod(f"there-{fragmented}")
        lab.delete_claim(f"there-{fragmented}", wait=True)  # or the other node is fragmented as well
    installation.use_extender(on=True)
    installation.figure("small-pod-on-fragmented", hits=hits, of=2 * TRIALS_PER_ARRANGEMENT, extender=extender)
    if extender:
        assert hits == 2 * TRIALS_PER_ARRANGEMENT
