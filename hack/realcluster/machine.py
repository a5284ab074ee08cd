"""What a cluster needs of the machine itself: folders to mount on, free ports, device nodes that open."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from hack.realcluster.errors import ClusterError


def make_folders(folders: tuple[str, ...]) -> None:
    """Create folders to mount on, outermost first."""
    for folder in folders:
        Path(folder).mkdir(exist_ok=True)


def remove_folders(folders: tuple[str, ...]) -> None:
    """Remove the folders that were created, unless somebody else has begun to use them."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def require_free_ports(ports: tuple[int, ...]) -> None:
    """Refuse to start when something else listens on one of the ports."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                msg = f"Port {port} of 127.0.0.1 is taken: choose other ports with --base-port."
                raise ClusterError(msg) from error


def require_device_nodes(folder: Path) -> None:
    """Refuse a folder whose file system does not let device nodes be opened."""
    if os.statvfs(folder).f_flag & os.ST_NODEV:
        msg = (
            f"{folder} is mounted with nodev, so no driver could make device nodes in it: "
            "set PARTITA_CLUSTER_DIR to a folder elsewhere."
        )
        raise ClusterError(msg)
