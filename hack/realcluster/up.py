"""Starts a cluster: everything that can start together does."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from hack.realcluster import (
    binaries,
    certificates,
    images,
    kernel_settings,
    kubeconfig,
    machine,
    modules,
    namespace,
    prerequisites,
    scheduler_config,
    state,
)
from hack.realcluster.component import Component
from hack.realcluster.control import Control
from hack.realcluster.control_plane import ControlPlane
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout
from hack.realcluster.load_image import load_image
from hack.realcluster.node import Node
from hack.realcluster.node_paths import STANDARD_PATHS, missing_mount_points, node_paths, outside
from hack.realcluster.readiness import Readiness
from hack.realcluster.state import State


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a cluster; its methods are its steps, in order."""

    layout: Layout
    state: State
    scheduler_text: str

    @property
    def control_plane(self) -> ControlPlane:
        """The control plane to start."""
        return ControlPlane(self.layout, self.state.ports, self.state.version, self.state.extra_gates)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes to start."""
        gates, ports = self.control_plane.gates, self.state.ports
        return tuple(
            Node(name, index, ports.node(index), ports.pod_network, self.layout, gates)
            for index, name in enumerate(self.state.nodes)
        )

    def run(self) -> None:
        """Start the cluster and return when a pod could be made."""
        built = modules.for_cluster(self.state.version)
        for module in built:
            binaries.build(module)
        machine.require_free_ports(self.state.ports.all(self.state.node_count))
        started = self._prepare_folder()
        self._write_files()
        machine.make_folders(started.made_folders)
        namespace.start(self.layout, binaries.path_of(built))
        readiness = Readiness(self.layout, started)
        readiness.supervisor()
        self._start_processes(readiness)
        state.save(self.layout, started.at(state.READY))

    def _prepare_folder(self) -> State:
        """Create the cluster's folder and write down in it what `down` has to put back."""
        root = self.layout.root
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            msg = f"{root} is not empty and no cluster's: set PARTITA_CLUSTER_DIR to a folder of its own."
            raise ClusterError(msg)
        machine.require_device_nodes(root)
        self.layout.marker.touch()
        started = State(
            version=self.state.version,
            node_count=self.state.node_count,
            base_port=self.state.base_port,
            extra_gates=self.state.extra_gates,
            extra_paths=self.state.extra_paths,
            made_folders=missing_mount_points((*STANDARD_PATHS, *self.state.extra_paths)),
        )
        state.save(self.layout, started)
        return started

    def _write_files(self) -> None:
        layout = self.layout
        for folder in (layout.logs, layout.kubeconfigs, layout.etcd_data):
            folder.mkdir(mode=0o700)
        certificates.create(layout.pki, self.state.nodes)
        kubelets = tuple(f"kubelet-{name}" for name in self.state.nodes)
        for identity in ("admin", "kube-controller-manager", "kube-scheduler", *kubelets):
            text = kubeconfig.render(layout.pki, identity, self.state.ports.api_server)
            path = layout.kubeconfigs / identity
            path.touch(mode=0o600)
            path.write_text(text)
        scheduler = str(layout.kubeconfigs / "kube-scheduler")
        layout.scheduler_config.write_text(scheduler_config.merge(self.scheduler_text, scheduler))
        for node in self.nodes:
            self._write_node(node)
        if self.nodes:
            (layout.root / "images.tar").write_bytes(images.build(platform.machine()))

    def _write_node(self, node: Node) -> None:
        folder = self.layout.node(node.name)
        for path in node_paths(folder, self.state.extra_paths):
            path.source.mkdir(parents=True)
        kernel_settings.write_copies(folder)
        runc, cni = shutil.which("runc"), prerequisites.cni_folder()
        if runc is None or cni is None:
            msg = "runc or the CNI plugins went away: hack/cluster prerequisites says what is missing."
            raise ClusterError(msg)
        for inside, text in node.files(runc, cni).items():
            outside(folder, inside).write_text(text)

    def _start_processes(self, readiness: Readiness) -> None:
        control = Control(self.layout)
        for node in self.nodes:
            command = namespace.holder_command(self.layout.node(node.name), self.state.extra_paths)
            control.start(Component(node.holder, command))
        control.start(self.control_plane.etcd())
        control.start(self.control_plane.api_server())
        for node in self.nodes:
            readiness.node_namespace(node)
            control.start(node.containerd())
        # The images go in while kube-apiserver is still starting.
        for node in self.nodes:
            readiness.containerd(node)
            load_image(self.layout, node.name, Path(self.layout.root / "images.tar"))
        readiness.api_server()
        for node in self.nodes:
            control.start(node.kubelet())
        control.start(self.control_plane.scheduler())
        for node in self.nodes:
            readiness.kubelet(node)
        # Had it seen a node that is not ready yet, it would taint the node and look again 5 s later.
        control.start(self.control_plane.controller_manager())
        for node in self.nodes:
            readiness.node(node)
        readiness.scheduler()
        readiness.default_service_account()
