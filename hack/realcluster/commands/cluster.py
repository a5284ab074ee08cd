"""The cluster as a whole: up, down, status."""

from __future__ import annotations

import argparse
import json
import time

from hack.realcluster import binaries, modules, namespace, state, status
from hack.realcluster.commands.common import read, require, say
from hack.realcluster.down import down
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout
from hack.realcluster.lock import changing
from hack.realcluster.state import State
from hack.realcluster.up import Start


def run_up(layout: Layout, arguments: argparse.Namespace) -> int:
    """Start a cluster, or say that it runs already."""
    asked = State(
        version=arguments.version,
        node_count=arguments.nodes,
        base_port=arguments.base_port,
        extra_gates=tuple(arguments.feature_gate),
        extra_paths=tuple(arguments.node_path),
    )
    text = read(arguments.scheduler_config) if arguments.scheduler_config else ""
    started = time.monotonic()
    with changing(layout):
        if _runs_already(layout, asked):
            return 0
        require(need_go=not all(map(binaries.is_built, modules.for_cluster(asked.version))))
        if down(layout):
            say("Cleaned up what an earlier up had left half-way.")
        Start(layout, asked, text).run()
    nodes = ", ".join(asked.nodes) or "no node"
    say(f"Kubernetes {asked.version} is ready with {nodes} after {time.monotonic() - started:.1f} s.")
    say(f"  hack/cluster kubectl get nodes    or    export KUBECONFIG={layout.kubeconfig}")
    return 0


def run_down(layout: Layout, _: argparse.Namespace) -> int:
    """Take the cluster away."""
    with changing(layout):
        say("The cluster is gone." if down(layout) else "No cluster was running.")
    return 0


def run_status(layout: Layout, arguments: argparse.Namespace) -> int:
    """Print the status; succeed only when the cluster is ready."""
    values = status.status(layout)
    print(json.dumps(values, indent=2) if arguments.json else status.render(values))
    return 0 if values["phase"] == state.READY else 1


def _runs_already(layout: Layout, asked: State) -> bool:
    known = state.load(layout)
    if known is None or known.phase != state.READY or namespace.find(layout) is None:
        return False
    if not known.asked_as(asked):
        msg = (
            f"A cluster runs already, but another one: Kubernetes {known.version}, {known.node_count} nodes. "
            "Take it away first: hack/cluster down"
        )
        raise ClusterError(msg)
    say(f"Kubernetes {known.version} runs already: hack/cluster status says more.")
    return True
