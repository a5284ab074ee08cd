"""The two processes of a node, kubelet and containerd, and the files they are configured by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hack.realcluster.component import Component
from hack.realcluster.images import PAUSE_IMAGE
from hack.realcluster.layout import Layout, NodePorts

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
_CONTAINERD_CONFIG = "/var/lib/containerd/config.toml"
_KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"
_CNI_CONFIG = "/etc/cni/net.d/10-partita.conflist"


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a cluster: its name, its place among the nodes, and its ports."""

    name: str
    index: int
    ports: NodePorts
    pod_network: str
    layout: Layout
    gates: tuple[str, ...] = ()

    @property
    def holder(self) -> str:
        """The component that keeps the node's mount namespace."""
        return f"namespace-{self.name}"

    def containerd(self) -> Component:
        """Return the node's containerd."""
        command = ("containerd", "--config", _CONTAINERD_CONFIG)
        return Component(f"containerd-{self.name}", command, self.name)

    def kubelet(self) -> Component:
        """Return the node's kubelet."""
        flags = (
            f"--config={_KUBELET_CONFIG}",
            f"--kubeconfig={self.layout.kubeconfigs / f'kubelet-{self.name}'}",
            f"--hostname-override={self.name}",
            # A kubelet refuses a loopback address for its node. With an external cloud provider it leaves
            # the addresses alone, and `up` writes them.
            "--cloud-provider=external",
            *self.gates,
        )
        return Component(f"kubelet-{self.name}", ("kubelet", *flags), self.name)

    def files(self, runc: str, cni_folder: str) -> dict[str, str]:
        """Return the text of each configuration file by the path it has inside the node."""
        return {
            _CONTAINERD_CONFIG: containerd_config(runc, cni_folder),
            _KUBELET_CONFIG: kubelet_config(self.layout, self.name, self.ports),
            _CNI_CONFIG: cni_config(self.pod_network, self.index),
        }


def kubelet_config(layout: Layout, name: str, ports: NodePorts) -> str:
    """Return the kubelet's configuration: defaults, but for what two kubelets on one machine need."""
    pki: Path = layout.pki
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": ports.kubelet,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": ports.health,
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": f"{pki}/ca.crt"}},
        "tlsCertFile": f"{pki}/kubelet-{name}.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet-{name}.key",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        # Limits for all pods together would be set on the machine's own cgroups.
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        # A laptop with a full disk is no reason to evict a test's pods; zero is refused.
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        # The default is a folder below /usr, which is not the node's own.
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "makeIPTablesUtilChains": False,
    }
    return json.dumps(document, indent=2) + "\n"


def containerd_config(runc: str, cni_folder: str) -> str:
    """Return containerd's configuration: the standard paths, no plugin that reaches outside of them."""
    return f"""\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
  cdi_spec_dirs = ["/var/run/cdi"]
  restrict_oom_score_adj = true

  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{cni_folder}"]
    conf_dir = "/etc/cni/net.d"

  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      SystemdCgroup = false
"""


def cni_config(pod_network: str, index: int) -> str:
    """Return the pod network of a node: a subnet of its own, and nothing that needs iptables."""
    ranges = [[{"subnet": f"{pod_network}.{index}.0/24"}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    document = {
        "cniVersion": "1.0.0",
        "name": f"partita-{index}",
        "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}],
    }
    return json.dumps(document, indent=2) + "\n"
