"""ResourceSlices come and go with the kubelet and with the driver."""

from __future__ import annotations

from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, until
from tests.e2e.node import Node


def test_a_starting_kubelet_removes_its_nodes_slices_and_the_driver_puts_them_back(
    lab: Lab, nodes: dict[str, Node]
) -> None:
    before, elsewhere, devices = _uids(lab, "node-a"), _uids(lab, "node-b"), set(lab.devices("node-a"))
    with nodes["node-a"].kubelet_stopped():
        pass
    until("no slice is an old one", lambda: not _uids(lab, "node-a") & before)
    until("all devices are back", lambda: set(lab.devices("node-a")) == devices)
    assert _uids(lab, "node-b") == elsewhere
    lab.holds("p", "node-a")


def test_slices_go_when_the_driver_has_been_gone_for_30_s_and_come_back_with_it(
    lab: Lab, installation: Installation
) -> None:
    devices = set(lab.devices("node-b"))
    with installation.without_driver("node-b"):
        assert set(lab.devices("node-b")) == devices, "a driver that leaves takes nothing along"
        until("the kubelet has removed the slices", lambda: not lab.slices("node-b"))
    until("all devices are back", lambda: set(lab.devices("node-b")) == devices)
    lab.holds("p", "node-b")


def _uids(lab: Lab, node: str) -> set[str]:
    return {piece.metadata.uid for piece in lab.slices(node)}
