"""The standard paths that each node has for itself.

Two kubelets on one machine would share these paths, so each node sees a folder of its own below each of
them, and a DaemonSet with the usual hostPath volumes runs unchanged on every node.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STANDARD_PATHS = (
    "/etc/cni/net.d",
    "/run/containerd",
    "/run/netns",
    "/run/partita",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/lib/partita",
    "/var/log/containers",
    "/var/log/pods",
    "/var/run/cdi",
)


@dataclass(frozen=True, slots=True)
class NodePath:
    """A folder or file of a node and the standard path it appears at inside the node."""

    source: Path
    inside: str


def node_paths(node_folder: Path, extra: tuple[str, ...] = ()) -> tuple[NodePath, ...]:
    """Return the folders of a node; seen from outside, a path lies below the node's folder by its own name."""
    return tuple(NodePath(outside(node_folder, path), path) for path in (*STANDARD_PATHS, *extra))


def outside(node_folder: Path, inside: str) -> Path:
    """Return where a path inside the node lies outside of it: /var/run/cdi is FOLDER/var/run/cdi."""
    return node_folder / inside.lstrip("/")


def missing_mount_points(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders to create on the machine so that each path can be mounted on, outermost first."""
    missing: list[str] = []
    for path in paths:
        ancestors = [Path(path), *Path(path).parents]
        missing.extend(str(folder) for folder in reversed(ancestors) if not folder.exists())
    return tuple(dict.fromkeys(missing))
