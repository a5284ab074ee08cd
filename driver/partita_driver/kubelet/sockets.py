"""Where the kubelet finds us: two unix sockets, with names that fit the kernel's limit."""

from __future__ import annotations

import hashlib
import stat
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from partita_plugins.errors import InvalidInput

MAX_SOCKET_PATH_BYTES = 107
"""sun_path is 108 bytes with its closing zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketPaths:
    """Both sockets of one instance of the driver."""

    registrar: Path
    """In the directory that the kubelet watches for plugins."""

    plugin: Path
    """Where Prepare and Unprepare are served; its path is what registration tells the kubelet."""


def socket_paths(driver: str, registry_dir: Path, plugin_dir: Path, pod_uid: str = "") -> SocketPaths:
    """The sockets of a driver; with a pod's UID those of one of two instances during a rolling update.

    The names and their shortened forms are those of Kubernetes' own plugin library, so that leftovers of either can be
    told apart by the kubelet. Raises InvalidInput where even the shortest name is too long.
    """
    if not pod_uid:
        return SocketPaths(
            registrar=_first_that_fits(registry_dir, [f"{driver}-reg.sock"]),
            plugin=_first_that_fits(plugin_dir, ["dra.sock"]),
        )
    short_uid = _digest(pod_uid.encode(), 8)
    both = _digest(f"{driver}\0{pod_uid}".encode(), 16)
    return SocketPaths(
        registrar=_first_that_fits(
            registry_dir, [f"{driver}-{pod_uid}-reg.sock", f"{driver}-{short_uid}-reg.sock", f"dra-{both}-reg.sock"]
        ),
        plugin=_first_that_fits(plugin_dir, [f"dra-{pod_uid}.sock", f"dra-{short_uid}.sock"]),
    )


def remove_socket(path: Path) -> None:
    """Remove a socket file that nobody listens on any more; anything but a socket is left alone."""
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        return


def _digest(data: bytes, length: int) -> str:
    return urlsafe_b64encode(hashlib.sha256(data).digest()[:length]).rstrip(b"=").decode()


def _first_that_fits(directory: Path, names: Iterable[str]) -> Path:
    for name in names:
        if len(str(directory / name).encode()) <= MAX_SOCKET_PATH_BYTES:
            return directory / name
    raise InvalidInput(
        f"a socket in {directory} would have a path of more than {MAX_SOCKET_PATH_BYTES} bytes",
        advice="choose shorter --plugin-dir and --registry-dir",
    )
