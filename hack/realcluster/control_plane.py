"""The commands of etcd, kube-apiserver, kube-controller-manager and kube-scheduler."""

from __future__ import annotations

from dataclasses import dataclass

from hack.realcluster.component import Component
from hack.realcluster.layout import Layout, Ports

SERVICE_NETWORK = "10.96.0.0/24"

# Gates the product needs that a version leaves off; everything else is as Kubernetes ships it.
_GATES = {"1.36": ("DRADeviceTaintRules=true",), "1.37": ()}
# Versions of resource.k8s.io that are served only when asked for: DeviceTaintRule is in them.
_RUNTIME_CONFIG = "resource.k8s.io/v1beta2=true,resource.k8s.io/v1alpha3=true"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The control plane of one cluster; every part listens on loopback only."""

    layout: Layout
    ports: Ports
    version: str
    extra_gates: tuple[str, ...] = ()

    @property
    def gates(self) -> tuple[str, ...]:
        """The feature gates that differ from their defaults, as one flag or none."""
        gates = (*_GATES[self.version], *self.extra_gates)
        return (f"--feature-gates={','.join(gates)}",) if gates else ()

    def etcd(self) -> Component:
        """Return etcd, which may forget everything when the machine stops: the cluster does too."""
        client = f"http://127.0.0.1:{self.ports.etcd}"
        peer = f"http://127.0.0.1:{self.ports.etcd_peer}"
        flags = (
            f"--data-dir={self.layout.etcd_data}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        return Component("etcd", ("etcd", *flags))

    def api_server(self) -> Component:
        """Return kube-apiserver with node authorization, RBAC and NodeRestriction."""
        pki = self.layout.pki
        flags = (
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            # Kubernetes 1.37 refuses to publish a loopback endpoint, and nothing here needs one.
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.ports.api_server}",
            f"--etcd-servers=http://127.0.0.1:{self.ports.etcd}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            f"--tls-cert-file={pki}/kube-apiserver.crt",
            f"--tls-private-key-file={pki}/kube-apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            # Kubernetes' own parts look for this authority and complain in their logs without it.
            f"--requestheader-client-ca-file={pki}/ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--runtime-config={_RUNTIME_CONFIG}",
            *self.gates,
        )
        return Component("kube-apiserver", ("kube-apiserver", *flags))

    def controller_manager(self) -> Component:
        """Return kube-controller-manager; it publishes the authority that pods verify the API with."""
        pki = self.layout.pki
        flags = (
            "--bind-address=127.0.0.1",
            f"--secure-port={self.ports.controller_manager}",
            *self._kubeconfig("kube-controller-manager"),
            "--use-service-account-credentials",
            "--leader-elect=false",
            # It makes a client for each controller first; at the default rate that alone takes 5 s.
            "--kube-api-qps=500",
            "--kube-api-burst=500",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/sa.key",
            *self.gates,
        )
        return Component("kube-controller-manager", ("kube-controller-manager", *flags))

    def scheduler(self) -> Component:
        """Return kube-scheduler, which reads its configuration from the cluster's folder."""
        flags = (
            "--bind-address=127.0.0.1",
            f"--secure-port={self.ports.scheduler}",
            f"--config={self.layout.scheduler_config}",
            *self._kubeconfig("kube-scheduler")[1:],
            *self.gates,
        )
        return Component("kube-scheduler", ("kube-scheduler", *flags))

    def _kubeconfig(self, identity: str) -> tuple[str, str, str]:
        path = self.layout.kubeconfigs / identity
        return (
            f"--kubeconfig={path}",
            f"--authentication-kubeconfig={path}",
            f"--authorization-kubeconfig={path}",
        )
