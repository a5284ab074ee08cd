"""Says what runs, for people and for programs."""

from __future__ import annotations

from typing import Any

from hack.realcluster import namespace, state
from hack.realcluster.control import Control, Running
from hack.realcluster.images import IMAGES
from hack.realcluster.kubeconfig import Api
from hack.realcluster.layout import Layout
from hack.realcluster.node_paths import node_paths
from hack.realcluster.readiness import takes_pods
from hack.realcluster.state import State

NOT_RUNNING = "not running"
BROKEN = "broken"


def status(layout: Layout) -> dict[str, Any]:
    """Return everything known about the cluster; `phase` is ready, starting, broken or not running."""
    init, known = namespace.find(layout), state.load(layout)
    if known is None or init is None:
        phase = BROKEN if known or init else NOT_RUNNING
        return {"phase": phase, "folder": str(layout.root)}
    components = [_component(layout, running) for running in Control(layout).components()]
    ended = any(component["state"] != "running" for component in components)
    port = known.ports.api_server
    return {
        "phase": BROKEN if ended else known.phase,
        "folder": str(layout.root),
        "version": known.version,
        "server": f"https://127.0.0.1:{port}",
        # Without kube-proxy the API's service address does not answer; pods need these two instead.
        "pod_environment": {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)},
        "kubeconfig": str(layout.kubeconfig),
        "certificate_authority": str(layout.pki / "ca.crt"),
        "scheduler_port": known.ports.scheduler,
        "images": [image.name for image in IMAGES],
        "init_pid": init,
        "nodes": [_node(layout, known, index) for index in range(known.node_count)],
        "components": components,
    }


def render(values: dict[str, Any]) -> str:
    """Return the status as a person reads it."""
    if "nodes" not in values:
        hint = {
            NOT_RUNNING: "hack/cluster up starts a cluster.",
            BROKEN: "A cluster was stopped half-way: hack/cluster down cleans up.",
        }
        return f"{values['phase']}  ({values['folder']})\n{hint[values['phase']]}"
    lines = [f"Kubernetes {values['version']} is {values['phase']} at {values['server']}", ""]
    lines += [f"  {'ready' if node['ready'] else 'NOT READY':10} {node['name']}" for node in values["nodes"]]
    lines.append("")
    lines += [f"  {entry['state']:10} {entry['name']:28} pid {entry['pid']}" for entry in values["components"]]
    lines += ["", f"export KUBECONFIG={values['kubeconfig']}"]
    return "\n".join(lines)


def _component(layout: Layout, running: Running) -> dict[str, Any]:
    return {
        "name": running.name,
        "state": "running" if running.exit_code is None else f"ended ({running.exit_code})",
        "pid": running.pid,
        "log": str(layout.log(running.name)),
    }


def _node(layout: Layout, known: State, index: int) -> dict[str, Any]:
    name, ports = known.nodes[index], known.ports.node(index)
    folder = layout.node(name)
    answer = Api(layout.pki, known.ports.api_server).get(f"/api/v1/nodes/{name}")
    return {
        "name": name,
        "ready": takes_pods(answer),
        "kubelet_port": ports.kubelet,
        "folder": str(folder),
        "paths": {path.inside: str(path.source) for path in node_paths(folder, known.extra_paths)},
    }
