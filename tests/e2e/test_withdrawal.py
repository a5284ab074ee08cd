"""Devices that are taken out of the offer under running pods: taint, wait, then remove."""

from __future__ import annotations

from partita_plugins.wire import WITHDRAWN_TAINT_KEY
from partita_plugins.wire.resource_slice import Device
from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, request, until
from tests.e2e.node import Node, nothing_left

REMOVED_SECONDS = 120.0
"""A device is removed 30 to 45 s after its taint, or after the last look at who holds it."""

MIG_3G = "mig-3g.gpu.partita.dev"
SETTINGS = """
nodes:
  - selector: {kubernetes.io/hostname: node-a}
    offer: {whole: true, shared: true, groups: [2], monitor: true}
  - selector: {}
    offer: {whole: true, mig: [1g, 2g, 4g], shared: true, groups: [2], monitor: true}
"""


def test_mig_turned_off_and_a_profile_withdrawn_wait_for_the_pods_that_hold_them(
    lab: Lab, installation: Installation
) -> None:
    """node-a offers no MIG any more, node-b no 3g; each has a pod on a 3g partition."""
    nodes = ("node-a", "node-b")
    held = {node: lab.holds(node, node) for node in nodes}
    before = {node: lab.devices(node) for node in nodes}
    identities = {node: lab.identity(node) for node in nodes}
    leaving = {
        "node-a": {name for name in before["node-a"] if "-mig-" in name},
        "node-b": {name for name in before["node-b"] if "-mig-3g-" in name},
    }
    with installation.settings(SETTINGS):
        until("what is withdrawn is tainted", lambda: all(_withdrawn(lab, node) == leaving[node] for node in nodes))
        lab.claim("late", request(device_class=MIG_3G))
        lab.pod("late", claim="late")
        until("no new pod gets one", lambda: lab.scheduled_reason("late"))
        until(
            "only what is held stays",
            lambda: all(set(lab.devices(node)) & leaving[node] == {held[node]} for node in nodes),
            seconds=REMOVED_SECONDS,
        )
        for node in nodes:
            assert _shape(lab.devices(node)[held[node]]) == _shape(before[node][held[node]])
        assert {node: lab.identity(node) for node in nodes} == identities
        lab.delete_pod("late", *nodes)
        lab.delete_claim(*nodes)
        until(
            "what was held goes too",
            lambda: all(not set(lab.devices(node)) & leaving[node] for node in nodes),
            seconds=REMOVED_SECONDS,
        )
    until("all devices are back", lambda: all(set(lab.devices(node)) == set(before[node]) for node in nodes))
    assert not any(_withdrawn(lab, node) for node in nodes)


def test_a_node_whose_label_changes_keeps_its_pod_and_sends_new_ones_elsewhere(
    lab: Lab, installation: Installation
) -> None:
    held = lab.holds("stays", "node-a")
    before, identity = lab.devices("node-a"), lab.identity("stays")
    with installation.offer("node-a", "whole"):
        until("partitions are tainted", lambda: held in _withdrawn(lab, "node-a"))
        lab.claim("new", request(device_class=MIG_3G))
        lab.pod("new", claim="new")
        lab.running("new")
        assert lab.node_of("new") == "node-b"
        assert _shape(lab.devices("node-a")[held]) == _shape(before[held])
    until("the taint is lifted", lambda: not _withdrawn(lab, "node-a"))
    assert lab.identity("stays") == identity
    assert set(lab.devices("node-a")) == set(before)


def test_a_drained_node_holds_nothing_and_its_pods_next_ones_go_elsewhere(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    lab.holds("p", "node-a")
    try:
        installation.kubectl("drain", "node-a", "--ignore-daemonsets", "--force", f"--pod-selector={ANY_OF_OURS}")
        assert lab.read_pod("p") is None
        nothing_left(nodes["node-a"])
        lab.claim("next", request(device_class=MIG_3G))
        lab.pod("next", claim="next")
        lab.running("next")
        assert lab.node_of("next") == "node-b"
    finally:
        installation.kubectl("uncordon", "node-a")


ANY_OF_OURS = "!app.kubernetes.io/name"
"""Pods of scenarios: the extender may stay where it is."""


def _withdrawn(lab: Lab, node: str) -> set[str]:
    return {
        name
        for name, device in lab.devices(node).items()
        if any((taint.key, taint.effect) == (WITHDRAWN_TAINT_KEY, "NoSchedule") for taint in device.taints)
    }


def _shape(device: Device) -> object:
    """What an allocated device must keep: what it is and what it consumes."""
    return device.attributes, device.capacity, device.consumes_counters
