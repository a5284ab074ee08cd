"""Working with a cluster: kubectl, kubeconfig, token, load-image, node-exec."""

from __future__ import annotations

import argparse
import os
import sys

from hack.realcluster import binaries, load_image, modules, node_exec
from hack.realcluster.commands.common import running
from hack.realcluster.layout import Layout


def run_kubectl(layout: Layout, arguments: argparse.Namespace) -> int:
    """Become kubectl, talking to this cluster."""
    _kubectl(layout, arguments.rest)
    return 0


def run_kubeconfig(layout: Layout, _: argparse.Namespace) -> int:
    """Print the path of the administrator's kubeconfig."""
    running(layout)
    print(layout.kubeconfig)
    return 0


def run_token(layout: Layout, arguments: argparse.Namespace) -> int:
    """Print a token of a ServiceAccount, bound to a node if one is named."""
    command = ["create", "token", arguments.account, "--namespace", arguments.namespace]
    if arguments.node:
        command += ["--bound-object-kind", "Node", "--bound-object-name", arguments.node]
    _kubectl(layout, [*command, "--duration", arguments.duration])
    return 0


def run_load_image(layout: Layout, arguments: argparse.Namespace) -> int:
    """Import an archive into one node or all."""
    nodes = running(layout).nodes if arguments.node == "all" else (arguments.node,)
    for node in nodes:
        print(f"{node}: {', '.join(load_image.load_image(layout, node, arguments.archive))}")
    return 0


def run_node_exec(layout: Layout, arguments: argparse.Namespace) -> int:
    """Run a command inside a node."""
    command = arguments.rest[1:] if arguments.rest[:1] == ["--"] else arguments.rest
    return node_exec.node_exec(layout, arguments.node, command or ["sh"])


def _kubectl(layout: Layout, arguments: list[str]) -> None:
    kubectl = binaries.folder(modules.kubernetes(running(layout).version)) / "kubectl"
    # kubectl would keep what it learns of this cluster in the home folder, where down does not look.
    cache = {"KUBECACHEDIR": str(layout.root / "kubectl")}
    environment = {**os.environ, **cache, "KUBECONFIG": str(layout.kubeconfig)}
    sys.stdout.flush()
    os.execve(kubectl, ["kubectl", *arguments], environment)  # noqa: S606 - this becomes it
