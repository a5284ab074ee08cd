"""Takes a cluster away, however far it came."""

from __future__ import annotations

import shutil
from pathlib import Path

from hack.realcluster import cgroups, machine, namespace, state
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout


def down(layout: Layout) -> bool:
    """Leave no process, mount, interface, cgroup or file of the cluster; say whether there was anything."""
    found = namespace.kill(layout)
    if not layout.root.is_dir() or not any(layout.root.iterdir()):
        return found
    if not layout.marker.exists():
        msg = f"{layout.root} holds files but no cluster's, so nothing was removed. Is PARTITA_CLUSTER_DIR right?"
        raise ClusterError(msg)
    cgroups.remove(cgroups.container_names(layout.nodes))
    remembered = state.load(layout)
    if remembered:
        machine.remove_folders(remembered.made_folders)
    _refuse_mounts(layout.root)
    shutil.rmtree(layout.root)
    return True


def _refuse_mounts(root: Path) -> None:
    """Refuse to remove a folder that something is mounted in: removing would reach into it."""
    rows = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    inside = [row[1] for row in rows if row[1].startswith(f"{root}/")]
    if inside:
        msg = f"Something is mounted at {inside[0]}: unmount it (umount {inside[0]}), then run down again."
        raise ClusterError(msg)
