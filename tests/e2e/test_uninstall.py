"""Partita taken away from a cluster as docs/install.md says, and put back."""

from __future__ import annotations

import sys
from pathlib import Path

from hack.e2e import apply

from partita_plugins.wire import DRIVER_NAME
from tests.e2e.installation import SYSTEM, Installation
from tests.e2e.lab import CLUSTER, Lab, run, until
from tests.e2e.node import CDI, KUBELET, STATE, Node
from tests.e2e.nvml_node import DRIVER_ROOT

CLEANUP = (str(Path(sys.executable).parent / "partita-driver"), "cleanup")
HARDWARE = {
    "simulated": ("--backend=simulated",),
    "nvml": ("--backend=nvml", f"--driver-root={DRIVER_ROOT}"),
}


def test_nothing_is_left_of_an_uninstalled_driver_and_it_can_be_installed_again(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    lab.holds("p", "node-a")
    installation.use_extender(on=False)
    try:
        installation.kubectl("delete", "daemonset", "-n", SYSTEM, "partita-driver", "--cascade=foreground")
        # A pod that was still there, and that nobody can end in the ordinary way.
        lab.force_delete("p")
        assert "kept     " in _cleanup(installation, nodes["node-a"])
        assert nodes["node-a"].instances(), "what a pod may be using is kept"
        for node in nodes.values():
            _cleanup(installation, node, "--force")
            assert _traces(node) == []
            assert not lab.slices(node.name)
            _cleanup(installation, node)  # a second time is no error
        installation.kubectl("delete", "-k", str(installation.folder / "overlay"), "--ignore-not-found")
    finally:
        apply(installation.folder)
        installation.use_extender(on=True)
    until("both nodes publish again", lambda: all(lab.slices(node) for node in nodes))
    lab.delete_claim("p")
    lab.holds("again", "node-a")


def _cleanup(installation: Installation, node: Node, *options: str) -> str:
    kubeconfig = run(CLUSTER, "kubeconfig").strip()
    which = (*HARDWARE[installation.backend], f"--node-name={node.name}", f"--kubeconfig={kubeconfig}")
    return node.execute("env", f"PARTITA_SIMULATED_DIR={STATE}/simulated", *CLEANUP, *which, *options)


def _traces(node: Node) -> list[str]:
    """Every file on the node with the driver's name or in its folders, but for the simulated hardware."""
    places = (
        *node.path(CDI).glob(f"*{DRIVER_NAME}*"),
        *node.path(KUBELET, "plugins_registry").glob(f"*{DRIVER_NAME}*"),
        *node.path(KUBELET, "plugins").glob(f"{DRIVER_NAME}*"),
        *node.path(STATE).iterdir(),
    )
    return [str(path) for path in places if path != node.path(STATE, "simulated")]
