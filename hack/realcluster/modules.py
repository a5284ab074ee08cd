"""Which Go modules the programs come from, and how each is built."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from hack.realcluster.errors import ClusterError

MODULES = Path(__file__).parent / "modules"
VERSIONS = ("1.37", "1.36")
DEFAULT_VERSION = VERSIONS[0]

_STRIP = "-s -w"


@dataclass(frozen=True, slots=True)
class Module:
    """One folder with go.mod and go.sum, the main packages it pins, and the flags they are built with."""

    name: str
    packages: tuple[str, ...]
    flags: tuple[str, ...]
    # Go names a program after its package's last element, which for etcd is not "etcd".
    output: str | None = None
    cgo: bool = False

    @property
    def folder(self) -> Path:
        """The folder with go.mod and go.sum."""
        return MODULES / self.name

    @property
    def key(self) -> str:
        """A name for exactly this source, with exactly these flags."""
        digest = hashlib.sha256()
        for name in ("go.mod", "go.sum"):
            digest.update((self.folder / name).read_bytes())
        digest.update(json.dumps([self.packages, self.flags, self.output, *([self.cgo] if self.cgo else [])]).encode())
        return f"{self.name}-{digest.hexdigest()[:12]}"


def kubernetes(version: str) -> Module:
    """Return the module of a Kubernetes minor version such as 1.37."""
    if version not in VERSIONS:
        msg = f"Kubernetes {version} is not one of {', '.join(VERSIONS)}: choose one of those with --version."
        raise ClusterError(msg)
    name = f"kubernetes-{version}"
    full = _pinned(MODULES / name / "go.mod", "k8s.io/kubernetes")
    major, minor = version.split(".")
    base = "k8s.io/component-base/version"
    # Without these the programs call themselves v0.0.0 and refuse to talk about compatibility.
    stamps = {
        f"{base}.gitVersion": full,
        f"{base}.gitMajor": major,
        f"{base}.gitMinor": minor,
        f"{base}.gitTreeState": "clean",
        "k8s.io/client-go/pkg/version.gitVersion": full,
    }
    ldflags = " ".join((_STRIP, *(f"-X {name}={value}" for name, value in stamps.items())))
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
    packages = tuple(f"k8s.io/kubernetes/cmd/{program}" for program in programs)
    return Module(name, packages, ("-trimpath", "-ldflags", ldflags))


def etcd() -> Module:
    """Return the module of etcd."""
    return Module("etcd", ("go.etcd.io/etcd/server/v3",), ("-trimpath", "-ldflags", _STRIP), output="etcd")


def containerd() -> Module:
    """Return the module of containerd, its runc shim and ctr."""
    programs = ("containerd", "containerd-shim-runc-v2", "ctr")
    packages = tuple(f"github.com/containerd/containerd/v2/cmd/{program}" for program in programs)
    # The three snapshotters need C libraries, and the cluster uses overlayfs.
    flags = ("-trimpath", "-tags", "no_btrfs no_devmapper no_zfs", "-ldflags", _STRIP)
    return Module("containerd", packages, flags)


def kwok() -> Module:
    """Return the module of kwok: nodes and pods that exist in the API only."""
    return Module("kwok", ("sigs.k8s.io/kwok/cmd/kwok",), ("-trimpath", "-ldflags", _STRIP))


def toolkit() -> Module:
    """Return the module of nvidia-ctk and nvidia-cdi-hook, which find a node's GPU libraries for its containers."""
    programs = ("nvidia-ctk", "nvidia-cdi-hook")
    packages = tuple(f"github.com/NVIDIA/nvidia-container-toolkit/cmd/{program}" for program in programs)
    # The driver's library is found when the program runs, not when it is built.
    flags = ("-trimpath", "-ldflags", f"{_STRIP} -extldflags=-Wl,--unresolved-symbols=ignore-in-object-files")
    return Module("nvidia-container-toolkit", packages, flags, cgo=True)


def for_cluster(version: str) -> tuple[Module, ...]:
    """Return the modules that a cluster of this Kubernetes version needs, the slowest to build last."""
    return (etcd(), containerd(), kubernetes(version))


def by_name(name: str) -> Module:
    """Return the module with this name: etcd, containerd, kwok, nvidia-container-toolkit or kubernetes-1.37."""
    every = {module.name: module for module in (etcd(), containerd(), kwok(), toolkit(), *map(kubernetes, VERSIONS))}
    if name not in every:
        msg = f"There is no module {name}: choose from {', '.join(sorted(every))}."
        raise ClusterError(msg)
    return every[name]


def _pinned(go_mod: Path, path: str) -> str:
    match = re.search(rf"^\s*(?:require )?{re.escape(path)} (v\S+)", go_mod.read_text(), re.MULTILINE)
    if match is None:
        msg = f"{go_mod} does not require {path}: restore the file from version control."
        raise ClusterError(msg)
    return match[1]
