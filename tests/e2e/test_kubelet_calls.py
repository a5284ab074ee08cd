"""The kubelet's calls when things go wrong: Prepare and Unprepare that fail, hang, or meet a kubelet that is away."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, request, until
from tests.e2e.node import KUBELET, Node, claim_state, nothing_left

MIG_3G = "mig-3g.gpu.partita.dev"


def test_a_pod_made_while_the_kubelet_is_down_runs_when_it_is_back(lab: Lab, nodes: dict[str, Node]) -> None:
    with nodes["node-a"].kubelet_stopped():
        lab.claim("p", request(device_class=MIG_3G))
        lab.pod("p", claim="p", node="node-a")
        until("the pod is bound", lambda: lab.node_of("p"))
    lab.running("p")
    assert lab.inside("p").caps


def test_a_pod_waits_while_the_driver_hangs_and_runs_afterwards(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    with installation.driver_paused(nodes["node-a"]):
        lab.claim("p", request(device_class=MIG_3G))
        lab.pod("p", claim="p", node="node-a")
        # The kubelet gives up after 45 s.
        lab.event("p", "FailedPrepareDynamicResources", contains="deadline", seconds=75)
        assert _phase(lab) == "Pending"
    lab.running_when_poked("p")
    assert lab.inside("p").caps


def test_a_pod_runs_once_prepare_does_not_fail_any_more(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    with _refused(lab, installation, nodes["node-a"]):
        assert _phase(lab) == "Pending"
        assert not nodes["node-a"].cdi_files()
    lab.running_when_poked("p")
    assert lab.inside("p").caps


def test_prepare_is_tried_again_after_a_kubelet_restart(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    with contextlib.ExitStack() as down, _refused(lab, installation, nodes["node-a"]):
        down.enter_context(nodes["node-a"].kubelet_stopped())
    lab.running("p")


def test_a_pod_ends_once_unprepare_does_not_fail_any_more(lab: Lab, nodes: dict[str, Node]) -> None:
    with _stuck(lab, nodes["node-a"]):
        assert lab.read_pod("p"), "a pod ended although its partition is in use"
    lab.gone("p")


def test_unprepare_is_tried_again_after_a_kubelet_restart(lab: Lab, nodes: dict[str, Node]) -> None:
    with contextlib.ExitStack() as down, _stuck(lab, nodes["node-a"]):
        down.enter_context(nodes["node-a"].kubelet_stopped())
    lab.gone("p")


def test_pods_deleted_by_force_while_the_kubelet_was_down_leave_nothing_behind(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    """On one node the driver runs all the time, on the other it is killed in the meantime."""
    for name in nodes:
        lab.holds(name, name)
    driver = installation.driver_uid("node-b")
    with contextlib.ExitStack() as down:
        for node in nodes.values():
            down.enter_context(node.kubelet_stopped())
        nodes["node-b"].signal_driver(driver, signal.SIGKILL)
        lab.force_delete(*nodes)
    for node in nodes.values():
        # The kubelet looks for claims without a pod once a minute.
        nothing_left(node, 120)


def test_a_pod_deleted_before_its_prepare_came_through_leaves_nothing_behind(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    node = nodes["node-a"]
    with contextlib.ExitStack() as down, installation.driver_paused(node):
        lab.claim("p", request(device_class=MIG_3G))
        uid = lab.read_claim("p").metadata.uid
        lab.pod("p", claim="p", node="node-a")
        until("the kubelet is about to call Prepare", lambda: uid in _kubelet_knows(node))
        down.enter_context(node.kubelet_stopped())
        lab.delete_pod("p", wait=False)
    lab.gone("p")
    nothing_left(node)
    assert not [e for e in lab.events("p") if e["reason"] == "Started"]


def test_a_claims_name_used_again_at_once_gets_a_partition_of_its_own(lab: Lab, nodes: dict[str, Node]) -> None:
    lab.holds("p", "node-a")
    before = lab.read_claim("p").metadata.uid
    lab.force_delete("p")
    lab.delete_claim("p")
    until("the claim is gone", lambda: not [c for c in lab.claims() if c.metadata.uid == before])
    lab.claim("p", request(device_class=MIG_3G))
    lab.pod("q", claim="p", node="node-a")
    lab.running_when_poked("q")
    assert lab.inside("q").caps
    until(
        "only the new claim is left",
        lambda: list(nodes["node-a"].journal().claims) == [lab.read_claim("p").metadata.uid],
    )
    assert len(nodes["node-a"].instances()) == 1


@contextlib.contextmanager
def _refused(lab: Lab, installation: Installation, node: Node) -> Iterator[None]:
    """Pod p, whose Prepare fails: somebody made a partition by hand in the place that its claim was given."""
    with contextlib.ExitStack() as taken:
        with installation.driver_paused(node):
            lab.claim("p", request(device_class=MIG_3G))
            lab.pod("p", claim="p", node=node.name)
            [held] = until("the claim is allocated", lambda: lab.allocated("p"))
            taken.enter_context(node.taken(held.device))
        lab.event("p", "FailedPrepareDynamicResources", contains="belongs to no claim")
        yield


@contextlib.contextmanager
def _stuck(lab: Lab, node: Node) -> Iterator[None]:
    """Pod p, deleted, whose Unprepare fails: a program has its partition open."""
    lab.holds("p", node.name)
    uid = lab.read_claim("p").metadata.uid
    with node.in_use(lab.allocated("p")[0].device):
        lab.delete_pod("p", wait=False)
        until("Unprepare has failed", lambda: claim_state(node, uid) == "undoing")
        yield


def _phase(lab: Lab) -> str:
    pod = lab.read_pod("p")
    return str(pod["status"]["phase"]) if pod else ""


def _kubelet_knows(node: Node) -> str:
    """The kubelet's own memory of claims, written before it calls Prepare."""
    path = node.path(KUBELET, "dra_manager_state")
    return path.read_text() if path.exists() else ""
