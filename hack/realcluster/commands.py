"""What each subcommand does, once its arguments are read."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from realcluster import binaries, load_image, modules, namespace, node_exec, prerequisites, state, status
from realcluster.control import Control
from realcluster.down import down
from realcluster.errors import ClusterError
from realcluster.layout import Layout
from realcluster.lock import changing
from realcluster.node_paths import node_paths
from realcluster.readiness import READY_MARK, Readiness
from realcluster.scheduler_config import merge
from realcluster.state import State
from realcluster.up import Start

_SCHEDULER = "kube-scheduler"


def run_up(layout: Layout, arguments: argparse.Namespace) -> int:
    """Start a cluster, or say that it runs already."""
    asked = State(
        version=arguments.version,
        node_count=arguments.nodes,
        base_port=arguments.base_port,
        extra_gates=tuple(arguments.feature_gate),
        extra_paths=tuple(arguments.node_path),
    )
    text = _read(arguments.scheduler_config) if arguments.scheduler_config else ""
    started = time.monotonic()
    with changing(layout):
        if _runs_already(layout, asked):
            return 0
        if down(layout):
            _say("Cleaned up what an earlier up had left half-way.")
        _require(need_go=not all(map(binaries.is_built, modules.for_cluster(asked.version))))
        Start(layout, asked, text).run()
    _say(f"Kubernetes {asked.version} is ready with {', '.join(asked.nodes)} after {time.monotonic() - started:.1f} s.")
    _say(f"  hack/cluster kubectl get nodes    or    export KUBECONFIG={layout.kubeconfig}")
    return 0


def run_down(layout: Layout, _: argparse.Namespace) -> int:
    """Take the cluster away."""
    with changing(layout):
        _say("The cluster is gone." if down(layout) else "No cluster was running.")
    return 0


def run_status(layout: Layout, arguments: argparse.Namespace) -> int:
    """Print the status; succeed only when the cluster is ready."""
    values = status.status(layout)
    print(json.dumps(values, indent=2) if arguments.json else status.render(values))
    return 0 if values["phase"] == state.READY else 1


def run_kubectl(layout: Layout, arguments: argparse.Namespace) -> int:
    """Become kubectl, talking to this cluster."""
    _kubectl(layout, arguments.rest)
    return 0


def run_kubeconfig(layout: Layout, _: argparse.Namespace) -> int:
    """Print the path of the administrator's kubeconfig."""
    _running(layout)
    print(layout.kubeconfig)
    return 0


def run_token(layout: Layout, arguments: argparse.Namespace) -> int:
    """Print a token of a ServiceAccount, bound to a node if one is named."""
    command = ["create", "token", arguments.account, "--namespace", arguments.namespace]
    if arguments.node:
        command += ["--bound-object-kind", "Node", "--bound-object-name", arguments.node]
    _kubectl(layout, [*command, "--duration", arguments.duration])
    return 0


def run_logs(layout: Layout, arguments: argparse.Namespace) -> int:
    """Print a component's log, or the components that have one."""
    if not arguments.component:
        print("\n".join(sorted(path.stem for path in layout.logs.glob("*.log"))) or "No cluster has run here.")
        return 0
    log = layout.log(arguments.component)
    if not log.exists():
        msg = f"{arguments.component} has no log: hack/cluster logs lists the components that have one."
        raise ClusterError(msg)
    follow = ["-F"] if arguments.follow else []
    os.execvp("tail", ["tail", "-n", arguments.lines, *follow, "--", str(log)])


def run_node_exec(layout: Layout, arguments: argparse.Namespace) -> int:
    """Run a command inside a node."""
    command = arguments.rest[1:] if arguments.rest[:1] == ["--"] else arguments.rest
    return node_exec.node_exec(layout, arguments.node, command or ["sh"])


def run_load_image(layout: Layout, arguments: argparse.Namespace) -> int:
    """Import an archive into one node or all."""
    nodes = _running(layout).nodes if arguments.node == "all" else (arguments.node,)
    for node in nodes:
        print(f"{node}: {load_image.load_image(layout, node, arguments.archive)}")
    return 0


def run_restart(layout: Layout, arguments: argparse.Namespace) -> int:
    """Stop a component if it runs and start it again."""
    _running(layout)
    Control(layout).stop(arguments.component)
    return run_start(layout, arguments)


def run_stop(layout: Layout, arguments: argparse.Namespace) -> int:
    """Stop a component."""
    _running(layout)
    Control(layout).stop(arguments.component)
    return 0


def run_start(layout: Layout, arguments: argparse.Namespace) -> int:
    """Start a component that was stopped."""
    known = _running(layout)
    Control(layout).start_again(arguments.component)
    if arguments.component == _SCHEDULER:
        Readiness(layout, known).scheduler()
    if arguments.component == "kube-apiserver":
        Readiness(layout, known).api_server()
    return 0


def run_scheduler_config(layout: Layout, arguments: argparse.Namespace) -> int:
    """Give kube-scheduler another configuration; put the old one back when it cannot run with it."""
    known = _running(layout)
    new = merge("" if arguments.default else _read(arguments.file), str(layout.kubeconfigs / _SCHEDULER))
    before = layout.scheduler_config.read_text()
    control = Control(layout)
    with changing(layout):
        try:
            _restart_scheduler(layout, known, new)
        except ClusterError as error:
            control.stop(_SCHEDULER)
            _restart_scheduler(layout, known, before)
            msg = f"{error}\nkube-scheduler runs with the configuration it had before."
            raise ClusterError(msg) from error
    return 0


def run_build(_: Layout, arguments: argparse.Namespace) -> int:
    """Build programs into the cache and print the folders they are in."""
    chosen = [modules.by_name(name) for name in arguments.modules] or modules.for_cluster(arguments.version)
    _require(need_go=not all(map(binaries.is_built, chosen)))
    for module in chosen:
        print(binaries.build(module))
    return 0


def run_prerequisites(_: Layout, arguments: argparse.Namespace) -> int:
    """Say what is missing; install it if asked to."""
    needs_go = not all(map(binaries.is_built, modules.for_cluster(arguments.version)))
    lacking = prerequisites.missing(need_go=needs_go, need_image=arguments.image)
    if lacking and arguments.install:
        prerequisites.install(lacking)
        lacking = prerequisites.missing(need_go=needs_go, need_image=arguments.image)
    print(prerequisites.explain(lacking) if lacking else "Nothing is missing.")
    return 1 if lacking else 0


def run_supervise(_: Layout, arguments: argparse.Namespace) -> int:
    """Be process 1 of the cluster."""
    from realcluster.supervisor import Supervisor

    Supervisor(Layout(arguments.root)).run()
    return 0


def run_hold(_: Layout, arguments: argparse.Namespace) -> int:
    """Be the process that keeps a node's mounts."""
    paths = node_paths(arguments.folder, tuple(arguments.paths))
    namespace.hold(paths, arguments.folder / READY_MARK)
    return 0


def _restart_scheduler(layout: Layout, known: State, text: str) -> None:
    layout.scheduler_config.write_text(text)
    control = Control(layout)
    control.stop(_SCHEDULER)
    control.start_again(_SCHEDULER)
    Readiness(layout, known).scheduler()


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
    _say(f"Kubernetes {known.version} runs already: hack/cluster status says more.")
    return True


def _running(layout: Layout) -> State:
    known = state.load(layout)
    if known is None or namespace.find(layout) is None:
        msg = "No cluster runs: hack/cluster up starts one."
        raise ClusterError(msg)
    return known


def _kubectl(layout: Layout, arguments: list[str]) -> None:
    kubectl = binaries.folder(modules.kubernetes(_running(layout).version)) / "kubectl"
    environment = {**os.environ, "KUBECONFIG": str(layout.kubeconfig)}
    sys.stdout.flush()
    os.execve(kubectl, ["kubectl", *arguments], environment)


def _require(*, need_go: bool) -> None:
    lacking = prerequisites.missing(need_go=need_go)
    if lacking:
        raise ClusterError(prerequisites.explain(lacking))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): name a file with a KubeSchedulerConfiguration."
        raise ClusterError(msg) from error


def _say(text: str) -> None:
    print(text, file=sys.stderr)
