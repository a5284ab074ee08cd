"""The cluster's certificate authority and the certificates and keys it stands for."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from hack.realcluster.errors import ClusterError

_DAYS = "365"
_SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
# The first address of the service network is the API's own; see control_plane.SERVICE_NETWORK.
_SERVICE_ADDRESSES = ("127.0.0.1", "10.96.0.1")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate is for: a file name, a user and its groups, and the addresses it serves on."""

    name: str
    user: str
    groups: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The subject as openssl reads it; Kubernetes reads O as groups and CN as the user."""
        return "".join(f"/O={group}" for group in self.groups) + f"/CN={self.user}"


def identities(nodes: tuple[str, ...]) -> tuple[Identity, ...]:
    """Return everyone in a cluster with these nodes who needs a certificate."""
    addresses = (*(f"DNS:{name}" for name in _SERVICE_NAMES), *(f"IP:{ip}" for ip in _SERVICE_ADDRESSES))
    kubelets = tuple(
        Identity(f"kubelet-{node}", f"system:node:{node}", ("system:nodes",), (f"DNS:{node}", "IP:127.0.0.1"))
        for node in nodes
    )
    return (
        Identity("admin", "admin", ("system:masters",)),
        Identity("kube-apiserver", "kube-apiserver", (), addresses),
        Identity("kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",)),
        Identity("kube-controller-manager", "system:kube-controller-manager"),
        Identity("kube-scheduler", "system:kube-scheduler"),
        *kubelets,
    )


def create(pki: Path, nodes: tuple[str, ...]) -> None:
    """Write the authority, a certificate for each identity and the key pair that signs tokens."""
    pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", _DAYS)
    authority = ("-keyout", str(pki / "ca.key"), "-out", str(pki / "ca.crt"))
    _openssl(
        "req",
        "-x509",
        *new_key,
        "-subj",
        "/CN=partita-cluster",
        *authority,
        *_extension("keyUsage", "critical,keyCertSign"),
    )
    signer = ("-CA", str(pki / "ca.crt"), "-CAkey", str(pki / "ca.key"))
    for identity in identities(nodes):
        files = ("-keyout", str(pki / f"{identity.name}.key"), "-out", str(pki / f"{identity.name}.crt"))
        extensions = [
            *_extension("basicConstraints", "critical,CA:FALSE"),
            *_extension("extendedKeyUsage", "serverAuth,clientAuth"),
        ]
        if identity.addresses:
            extensions += _extension("subjectAltName", ",".join(identity.addresses))
        _openssl("req", "-x509", *signer, *new_key, "-subj", identity.subject, *files, *extensions)
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(pki / "sa.key"))
    _openssl("ec", "-in", str(pki / "sa.key"), "-pubout", "-out", str(pki / "sa.pub"))


def _extension(name: str, value: str) -> tuple[str, str]:
    return ("-addext", f"{name}={value}")


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"openssl {arguments[0]} failed: {done.stderr.strip()}\nOpenSSL 3.0 or newer is needed."
        raise ClusterError(msg)
