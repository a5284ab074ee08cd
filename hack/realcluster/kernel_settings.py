"""Kernel settings that a kubelet and its network plugin write for the whole machine.

Each node sees copies of them, so that the machine's own stay as they are.
"""

from __future__ import annotations

from pathlib import Path

from hack.realcluster.node_paths import NodePath, outside

_SETTINGS = (
    "/proc/sys/kernel/keys/root_maxbytes",
    "/proc/sys/kernel/keys/root_maxkeys",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
)


def copies(node_folder: Path) -> tuple[NodePath, ...]:
    """Return where a node's copies lie and which settings they hide."""
    present = (setting for setting in _SETTINGS if Path(setting).exists())
    return tuple(NodePath(outside(node_folder, setting), setting) for setting in present)


def write_copies(node_folder: Path) -> None:
    """Write the copies, with the values the machine has now."""
    for copy in copies(node_folder):
        copy.source.parent.mkdir(parents=True, exist_ok=True)
        copy.source.write_text(Path(copy.inside).read_text())
