"""The cgroups of a cluster's containers, which outlive their processes and have to be removed by hand."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from hack.realcluster.errors import ClusterError

# containerd names the parent of its containers' cgroups after its namespace, which is Kubernetes' here. A
# second cluster on this machine shares it, so containers are removed by name.
_PARENT = "k8s.io"
_BUNDLES = "run/containerd/io.containerd.runtime.v2.task/k8s.io"
_TRIES = 50
_PAUSE_SECONDS = 0.1


def container_names(nodes: Path) -> tuple[str, ...]:
    """Return the containers of every node whose folder lies below this one."""
    return tuple(bundle.name for bundle in nodes.glob(f"*/{_BUNDLES}/*"))


def remove(containers: tuple[str, ...]) -> None:
    """Remove the cgroups of these containers from every hierarchy, whether version 1 or 2."""
    for parent in parents(Path("/proc/self/mounts").read_text()):
        for container in containers:
            _remove(parent / container)
        # It stays when the containers of somebody else are in it.
        with contextlib.suppress(OSError):
            parent.rmdir()


def parents(mounts: str) -> Iterator[Path]:
    """Yield the folder of containerd's cgroups in each hierarchy of a table of mounts."""
    for line in mounts.splitlines():
        _, folder, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield Path(folder) / _PARENT


def _remove(top: Path) -> None:
    # A cgroup stays busy for a moment after its last process has ended.
    for _ in range(_TRIES):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if not top.exists():
            return
        time.sleep(_PAUSE_SECONDS)
    msg = f"The cgroup {top} is still in use: end what its cgroup.procs names, then run down again."
    raise ClusterError(msg)
