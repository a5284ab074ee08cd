"""The command line of `hack/cluster`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from hack.realcluster import namespace
from hack.realcluster.commands import building, cluster, components, internal, use
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import (
    DEFAULT_BASE_PORT,
    DEFAULT_NODES,
    MAX_NODES,
    PORTS_PER_CLUSTER,
    Layout,
    default_layout,
)
from hack.realcluster.modules import DEFAULT_VERSION, VERSIONS

_ABOUT = "A real Kubernetes cluster on this machine: real kubelets, containerd and runc, no Docker."
_EXAMPLES = """\
examples:
  hack/cluster prerequisites --install         get what is missing on this machine
  hack/cluster up                              two nodes; the first time builds Kubernetes, which takes minutes
  hack/cluster up --version 1.36 --nodes 3     another version, more nodes
  hack/cluster kubectl get nodes               kubectl, talking to this cluster
  hack/cluster scheduler-config extender.yaml  kube-scheduler with your extenders and profiles
  hack/cluster load-image all partita.tar      an OCI archive into every node
  hack/cluster node-exec node-a -- ls /var/lib/kubelet/plugins
                                               a command of this machine, seeing what the node sees
  hack/cluster token driver -n partita --node node-a
                                               a ServiceAccount's token that carries its node
  hack/cluster restart kubelet-node-a          its pods go on
  hack/cluster logs kube-scheduler -f
  hack/cluster down                            nothing stays but the built programs

pods:
  Images are loaded, never pulled: set imagePullPolicy: Never. Every node has partita.dev/busybox:1.
  There is no kube-proxy and no DNS. A pod that talks to the API needs hostNetwork: true and the environment
  KUBERNETES_SERVICE_HOST=127.0.0.1 and KUBERNETES_SERVICE_PORT=16443; status --json has them.

environment:
  PARTITA_CLUSTER_DIR  the cluster's folder, removed by down  (default: PARTITA_CACHE_DIR/cluster)
  PARTITA_CACHE_DIR    the built programs                     (default: ~/.cache/partita)
  GOFLAGS, GOPROXY ... as for every build with Go
"""

Run = Callable[[Layout, argparse.Namespace], int]


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    parsed = _parser().parse_args(arguments)
    run: Run = parsed.run
    try:
        return run(default_layout(), parsed)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except PermissionError as error:
        print(
            f"{error.strerror}: {error.filename}. The cluster belongs to root: try again with sudo -E", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print("\nStopped. hack/cluster down cleans up.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/cluster",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_subparsers(required=True, metavar="COMMAND").add_parser
    _add_life(add)
    _add_use(add)
    _add_components(add)
    _add_building(add)
    _add_internal(add)
    return parser


def _add_life(add: Callable[..., argparse.ArgumentParser]) -> None:
    up = add("up", help="start a cluster; building it the first time")
    _version(up)
    up.add_argument(
        "--nodes",
        type=_node_count,
        default=DEFAULT_NODES,
        help=f"how many (default {DEFAULT_NODES}); 0 is a control plane alone, for nodes that exist in the API only",
    )
    up.add_argument(
        "--base-port",
        type=int,
        default=DEFAULT_BASE_PORT,
        help=f"the first of the loopback ports (default {DEFAULT_BASE_PORT}); a second cluster at the same "
        f"time needs its own PARTITA_CLUSTER_DIR and a base at least {PORTS_PER_CLUSTER} away",
    )
    up.add_argument("--scheduler-config", type=Path, metavar="FILE", help="as for scheduler-config below")
    up.add_argument("--feature-gate", action="append", default=[], metavar="NAME=BOOL", help="for every component")
    up.add_argument(
        "--node-path",
        action="append",
        default=[],
        metavar="PATH",
        help="one more path each node has for itself",
    )
    up.set_defaults(run=cluster.run_up)
    add("down", help="take the cluster away, however far it came").set_defaults(run=cluster.run_down)
    status = add("status", help="say what runs; exit code 0 when the cluster is ready")
    status.add_argument("--json", action="store_true", help="ports, paths and pids for programs")
    status.set_defaults(run=cluster.run_status)


def _add_use(add: Callable[..., argparse.ArgumentParser]) -> None:
    kubectl = add("kubectl", help="run kubectl against the cluster", prefix_chars="\0", add_help=False)
    kubectl.add_argument("rest", nargs=argparse.REMAINDER)
    kubectl.set_defaults(run=use.run_kubectl)
    add("kubeconfig", help="print the path of the kubeconfig").set_defaults(run=use.run_kubeconfig)
    token = add("token", help="print a ServiceAccount's token")
    token.add_argument("account", metavar="SERVICEACCOUNT")
    token.add_argument("-n", "--namespace", default="default")
    token.add_argument("--node", help="bind the token to this node, as a pod's token is")
    token.add_argument("--duration", default="24h")
    token.set_defaults(run=use.run_token)
    load = add("load-image", help="import an OCI archive into containerd")
    load.add_argument("node", metavar="NODE|all")
    load.add_argument("archive", type=Path)
    load.set_defaults(run=use.run_load_image)
    inside = add("node-exec", help="run a command of this machine inside a node")
    inside.add_argument("node")
    inside.add_argument("rest", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    inside.set_defaults(run=use.run_node_exec)


def _add_components(add: Callable[..., argparse.ArgumentParser]) -> None:
    logs = add("logs", help="print a component's log; without a name, list the components")
    logs.add_argument("component", nargs="?")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs.add_argument("--lines", default="+1", metavar="N", help="only the last N lines")
    logs.set_defaults(run=components.run_logs)
    for name, text, run in (
        ("restart", "stop a component and start it again; what it started goes on", components.run_restart),
        ("stop", "stop a component", components.run_stop),
        ("start", "start a component that was stopped", components.run_start),
    ):
        command = add(name, help=text)
        command.add_argument("component")
        command.set_defaults(run=run)
    config = add("scheduler-config", help="restart kube-scheduler with your extenders and profiles")
    which = config.add_mutually_exclusive_group(required=True)
    which.add_argument("file", nargs="?", type=Path, help="a KubeSchedulerConfiguration, or part of one")
    which.add_argument("--default", action="store_true", help="go back to the default configuration")
    config.set_defaults(run=components.run_scheduler_config)


def _add_building(add: Callable[..., argparse.ArgumentParser]) -> None:
    build = add("build", help="build the programs without starting anything, and print their folders")
    _version(build)
    build.add_argument("modules", nargs="*", help="for example kwok (default: what up needs)")
    build.set_defaults(run=building.run_build)
    needs = add("prerequisites", help="say what this machine lacks")
    _version(needs)
    needs.add_argument("--image", action="store_true", help="include what building the product's image needs")
    needs.add_argument("--install", action="store_true", help="install what is missing")
    needs.set_defaults(run=building.run_prerequisites)


def _add_internal(add: Callable[..., argparse.ArgumentParser]) -> None:
    supervise = add(namespace.SUPERVISE)
    supervise.add_argument("root", type=Path)
    supervise.set_defaults(run=internal.run_supervise)
    hold = add(namespace.HOLD)
    hold.add_argument("folder", type=Path)
    hold.add_argument("paths", nargs="*")
    hold.set_defaults(run=internal.run_hold)


def _version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--version",
        choices=VERSIONS,
        default=DEFAULT_VERSION,
        help=f"of Kubernetes (default {DEFAULT_VERSION})",
    )


def _node_count(text: str) -> int:
    count = int(text)
    if not 0 <= count <= MAX_NODES:
        msg = f"between 0 and {MAX_NODES}"
        raise argparse.ArgumentTypeError(msg)
    return count
