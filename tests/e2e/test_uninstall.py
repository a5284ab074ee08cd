"""Partita taken away from a cluster as docs/install.md says, and put back."""

from __future__ import annotations

import sys
from pathlib import Path

from hack.e2e import apply

from partita_plugins.wire import DRIVER_NAME
from tests.e2e.installation import SYSTEM, Installation
from tests.e2e.lab import CLUSTER, Lab, run, until
from tests.e2e.node import CDI, KUBELET, STATE, Node

CLEANUP = (str(Path(sys.executable).parent / "partita-driver"), "cleanup", "--backend=simulated")


def test_nothing_is_left_of_an_uninstalled_driver_and_it_can_be_installed_again(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    lab.holds("p", "node-a")
    installation.use_extender(on=False)
    try:
        installation.kubectl("delete", "daemonset", "-n", SYSTEM, "partita-driver", "--cascade=foreground")
        # A pod that was still there, and that nobody can end in the ordinary way.
        lab.force_delete("p")
        assert "kept     " in _cleanup(nodes["node-a"])
        assert nodes["node-a"].instances(), "what a pod may be using is kept"
        for node in nodes.values():
            _cleanup(node, "--force")
            assert _traces(node) == []
            assert not lab.slices(node.name)
            _cleanup(node)  # a second time is no error
        installation.kubectl("delete", "-k", str(installation.folder / "overlay"), "--ignore-not-found")
    finally:
        apply(installation.folder)
        installation.use_extender(on=True)
    until("both nodes publish again", lambda: all(lab.slices(node) for node in nodes))
    lab.delete_claim("p")
    lab.holds("again", "node-a")


def _cleanup(node: Node, *options: str) -> str:
    kubeconfig = run(CLUSTER, "kubeconfig").strip()
    return node.execute(*CLEANUP, f"--node-name={node.name}", f"--kubeconfig={kubeconfig}", *options)


def _traces(node: Node) -> list[str]:
    """Every file on the node with the driver's name or in its folders, but for the simulated hardware."""
    places = (
        *node.path(CDI).glob(f"*{DRIVER_NAME}*"),
        *node.path(KUBELET, "plugins_registry").glob(f"*{DRIVER_NAME}*"),
        *node.path(KUBELET, "plugins").glob(f"{DRIVER_NAME}*"),
        *node.path(STATE).iterdir(),
    )
    return [str(path) for path in places if path != node.path(STATE, "simulated")]
